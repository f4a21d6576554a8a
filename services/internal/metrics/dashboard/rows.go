package dashboard

// Rows lists the rows of the dashboard, from the top. For metrics that replicas share it shows the maximum.
var Rows = []Row{
	{Title: "Is it healthy?", Panels: []Panel{
		{
			Title: "Late changes, 1 h",
			Help:  "Share of live changes that took more than 5 s while Stripe was up. The target is at most 1%.",
			Unit:  "percentunit",
			Stat:  true, Bad: new(0.01), Queries: []Query{
				{`max(driftless:changes_late:ratio1h{account=~"$account"})`, ""},
			},
		},
		{
			Title: "Late changes, 30 d", Help: "The service level: at most 1%.", Unit: "percentunit", Stat: true,
			Bad: new(0.01), Queries: []Query{
				{`max(driftless:changes_late:ratio30d{account=~"$account"})`, ""},
			},
		},
		{
			Title: "Oldest unsynced", Help: "How long the longest unsynced product has differed.", Unit: "s",
			Stat: true, Bad: new(300.0), Queries: []Query{
				{`max(driftless_change_oldest_unsynced_age_seconds{account=~"$account"})`, ""},
			},
		},
		{
			Title: "Oldest drift", Help: "The service level: never more than 15 minutes.", Unit: "s", Stat: true,
			Bad: new(900.0), Queries: []Query{
				{`max(driftless_drift_oldest_age_seconds{account=~"$account"})`, ""},
			},
		},
		{Title: "Dead letters", Help: "driftless dead", Unit: "short", Stat: true, Bad: new(1.0), Queries: []Query{
			{`sum(max by (account, reason) (driftless_dead_letters_open{account=~"$account"}))`, ""},
		}},
		{
			Title: "Halted", Help: "1: Stripe refuses the key.", Unit: "bool_yes_no", Stat: true, Bad: new(1.0),
			Queries: []Query{
				{`max(driftless_halted{account=~"$account"})`, ""},
			},
		},
		{
			Title: "Held by the guard", Help: "Products whose change waits for driftless approve.", Unit: "short",
			Stat: true, Bad: new(1.0),
			Queries: []Query{
				{`sum(max by (account) (driftless_products{account=~"$account", state="held"}))`, ""},
			},
		},
		{
			Title: "Stripe is up",
			Help:  "As Driftless sees it: in the last 20 minutes less than 5% of the requests failed, or only those of a few products.",
			Unit:  "bool_yes_no", Stat: true, Bad: new(1.0), Below: true, Queries: []Query{
				{`min(driftless:stripe_up{account=~"$account"})`, ""},
			},
		},
		{
			Title: "Equality is known",
			Help:  "0: it is unknown whether the tables and Stripe are equal. `driftless status` has the reason.",
			Unit:  "bool_yes_no", Stat: true, Bad: new(1.0), Below: true, Queries: []Query{
				{`min(max by (account) (driftless_equality_known{account=~"$account"}))`, ""},
			},
		},
		{
			Title: "Converged, live",
			Help:  "Age of the commit up to which all live changes are in Stripe.", Unit: "s",
			Stat: true, Bad: new(60.0), Queries: []Query{
				{
					`time() - min(max by (account) (driftless_converged_timestamp_seconds{account=~"$account", lane="live"}))`,
					"",
				},
			},
		},
		{
			Title: "Not converged, 30 d",
			Help:  "Share of the time in which a change committed more than a minute ago (bulk: an hour) was not in Stripe. The service level: at most 1%.", Unit: "percentunit", Stat: true, Bad: new(0.01), Queries: []Query{
				{`max by (lane) (driftless:not_converged:ratio30d{account=~"$account"})`, "{{lane}}"},
			},
		},
		{
			Title: "Tables compared", Help: "Time since the last complete comparison of the tables.", Unit: "s",
			Stat: true,
			Bad:  new(172800.0), Queries: []Query{
				{
					`time() - min(max by (account) (driftless_tables_compared_timestamp_seconds{account=~"$account"}))`,
					"",
				},
			},
		},
		{
			Title: "From commit to Stripe", Help: "Live changes. The points are traces.", Unit: "s", Exemplars: true,
			Queries: []Query{
				{`histogram_quantile(0.5, sum by (le) (rate(driftless_change_applied_duration_seconds_bucket{account=~"$account", lane="live"}[$__rate_interval])))`, "p50"},
				{`histogram_quantile(0.95, sum by (le) (rate(driftless_change_applied_duration_seconds_bucket{account=~"$account", lane="live"}[$__rate_interval])))`, "p95"},
				{`histogram_quantile(0.99, sum by (le) (rate(driftless_change_applied_duration_seconds_bucket{account=~"$account", lane="live"}[$__rate_interval])))`, "p99"},
			},
		},
		{
			Title: "From commit to confirmation", Help: "By the webhook or event of each call.", Unit: "s",
			Exemplars: true, Queries: []Query{
				{`histogram_quantile(0.5, sum by (le) (rate(driftless_change_confirmed_duration_seconds_bucket{account=~"$account"}[$__rate_interval])))`, "p50"},
				{`histogram_quantile(0.95, sum by (le) (rate(driftless_change_confirmed_duration_seconds_bucket{account=~"$account"}[$__rate_interval])))`, "p95"},
				{`histogram_quantile(0.99, sum by (le) (rate(driftless_change_confirmed_duration_seconds_bucket{account=~"$account"}[$__rate_interval])))`, "p99"},
			},
		},
		{Title: "Products by state", Unit: "short", Queries: []Query{
			{`sum by (state) (max by (account, state) (driftless_products{account=~"$account"}))`, "{{state}}"},
		}},
	}},
	{Title: "Push", Panels: []Panel{
		{
			Title: "Waiting", Help: "Not yet delivered, in flight, and scheduled for a retry.", Unit: "short",
			Queries: []Query{
				{`sum by (consumer) (max by (account, stream, consumer) (driftless_consumer_pending{account=~"$account", consumer=~"push.*"}))`, "{{consumer}} pending"},
				{`sum by (consumer) (max by (account, stream, consumer) (driftless_consumer_in_flight{account=~"$account", consumer=~"push.*"}))`, "{{consumer}} in flight"},
				{`sum(max by (account) (driftless_retry_waiting{account=~"$account"}))`, "retrying later"},
			},
		},
		{Title: "Oldest waiting", Unit: "s", Queries: []Query{
			{
				`max by (consumer) (driftless_consumer_oldest_age_seconds{account=~"$account", consumer=~"push.*"})`,
				"{{consumer}}",
			},
		}},
		{Title: "Changes a second", Unit: "ops", Queries: []Query{
			{`sum by (lane) (rate(driftless_change_applied_duration_seconds_count{account=~"$account"}[$__rate_interval]))`, "applied, {{lane}}"},
			{`sum(rate(driftless_change_superseded_total{account=~"$account"}[$__rate_interval]))`, "superseded"},
		}},
		{Title: "Steps a second", Help: "Calls of plans, by kind.", Unit: "ops", Queries: []Query{
			{
				`sum by (step, result) (rate(driftless_push_steps_total{account=~"$account"}[$__rate_interval]))`,
				"{{step}} {{result}}",
			},
			{`sum(rate(driftless_push_rereads_total{account=~"$account"}[$__rate_interval]))`, "rereads"},
		}},
		{Title: "Failures and holds a second", Help: "By action or by rule.", Unit: "ops", Queries: []Query{
			{
				`sum by (action) (rate(driftless_push_failures_total{account=~"$account"}[$__rate_interval]))`,
				"{{action}}",
			},
			{
				`sum by (rule) (rate(driftless_guard_findings_total{account=~"$account"}[$__rate_interval]))`,
				"held: {{rule}}",
			},
		}},
		{
			Title: "Held by rule",
			Help:  "Products whose change the guard holds. The rule check has those that violate a check of catalog.checks.",
			Unit:  "short", Queries: []Query{
				{`max by (rule) (driftless_guard_held{account=~"$account"})`, "{{rule}}"},
			},
		},
		{
			Title: "Checks that fail",
			Help:  "Failures of catalog.checks in an hour. Unless its on_error is hold, a failing check holds nothing.",
			Unit:  "short", Queries: []Query{
				{`sum by (check) (increase(driftless_check_failures_total{account=~"$account"}[1h])) > 0`, "{{check}}"},
			},
		},
		{
			Title: "Longest failing", Help: "Since the first failed pass of the product that has failed longest.",
			Unit: "s",
			Queries: []Query{
				{`max by (failure) (driftless_retry_oldest_age_seconds{account=~"$account"})`, "{{failure}}"},
			},
		},
		{Title: "Dead letters written", Help: "In five minutes.", Unit: "short", Queries: []Query{
			{
				`sum by (component, reason) (increase(driftless_dead_letters_total{account=~"$account"}[5m])) > 0`,
				"{{component}} {{reason}}",
			},
		}},
	}},
	{Title: "Stripe", Panels: []Panel{
		{Title: "Requests a second", Help: "Compared with the account's limit.", Unit: "reqps", Queries: []Query{
			{`sum by (component, result) (rate(driftless_stripe_request_duration_seconds_count{account=~"$account"}[$__rate_interval]))`, "{{component}} {{result}}"},
			{`sum(max by (account) (driftless_stripe_budget_limit_per_second{account=~"$account"}))`, "limit"},
		}},
		{Title: "Requests by operation", Unit: "reqps", Queries: []Query{
			{`sum by (operation) (rate(driftless_stripe_request_duration_seconds_count{account=~"$account"}[$__rate_interval]))`, "{{operation}}"},
		}},
		{Title: "Duration of a request", Help: "95th percentile.", Unit: "s", Exemplars: true, Queries: []Query{
			{`histogram_quantile(0.95, sum by (le, operation) (rate(driftless_stripe_request_duration_seconds_bucket{account=~"$account"}[$__rate_interval])))`, "{{operation}}"},
		}},
		{Title: "Refused access", Help: "1: Stripe refuses the key.", Unit: "short", Queries: []Query{
			{
				`max by (component, operation) (driftless_stripe_access_refused{account=~"$account"}) > 0`,
				"{{component}} {{operation}}",
			},
		}},
		{Title: "Wait for the budget", Help: "95th percentile.", Unit: "s", Queries: []Query{
			{`histogram_quantile(0.95, sum by (le, lane) (rate(driftless_stripe_budget_wait_duration_seconds_bucket{account=~"$account"}[$__rate_interval])))`, "{{lane}}"},
		}},
		{Title: "Rate limited (429)", Help: "In five minutes, by Stripe's reason.", Unit: "short", Queries: []Query{
			{`sum by (reason) (increase(driftless_stripe_rate_limited_total{account=~"$account"}[5m]))`, "{{reason}}"},
		}},
		{Title: "Reads in 30 days", Unit: "short", Queries: []Query{
			{`sum(max by (account) (driftless_stripe_reads_used{account=~"$account"}))`, "used"},
			{`sum(min by (account) (driftless_stripe_reads_left{account=~"$account"}))`, "left"},
			{`sum(max by (account) (driftless_stripe_reads_allowed{account=~"$account"}))`, "allowed"},
		}},
	}},
	{Title: "Pull", Panels: []Panel{
		{Title: "Events a second", Unit: "ops", Queries: []Query{
			{
				`sum by (via, result) (rate(driftless_event_received_total{account=~"$account"}[$__rate_interval]))`,
				"{{via}} {{result}}",
			},
		}},
		{
			Title: "Age of webhooks", Help: "Since the event's creation in Stripe, accurate to the second.", Unit: "s",
			Queries: []Query{
				{`histogram_quantile(0.5, sum by (le) (rate(driftless_webhook_age_seconds_bucket{account=~"$account"}[$__rate_interval])))`, "p50"},
				{`histogram_quantile(0.95, sum by (le) (rate(driftless_webhook_age_seconds_bucket{account=~"$account"}[$__rate_interval])))`, "p95"},
				{`histogram_quantile(0.99, sum by (le) (rate(driftless_webhook_age_seconds_bucket{account=~"$account"}[$__rate_interval])))`, "p99"},
			},
		},
		{
			Title: "Age of the event poll", Help: "Time since Stripe's events were last read to the end.", Unit: "s",
			Queries: []Query{
				{`max by (account) (driftless_stripe_events_age_seconds{account=~"$account"})`, "{{account}}"},
			},
		},
		{Title: "Webhooks rejected", Help: "In five minutes.", Unit: "short", Queries: []Query{
			{`sum by (reason) (increase(driftless_webhook_rejected_total{account=~"$account"}[5m]))`, "{{reason}}"},
		}},
		{Title: "Effect of events", Unit: "ops", Queries: []Query{
			{
				`sum by (result) (rate(driftless_event_observed_total{account=~"$account"}[$__rate_interval]))`,
				"{{result}}",
			},
		}},
		{
			Title: "Scan", Help: "Objects read by the latest scan; 1 while one runs; 1 if the latest failed.",
			Unit: "short", Queries: []Query{
				{`max by (account) (driftless_scan_objects{account=~"$account"})`, "objects {{account}}"},
				{`max by (account) (driftless_scan_running{account=~"$account"})`, "running {{account}}"},
				{`max by (account) (driftless_scan_failed{account=~"$account"})`, "failed {{account}}"},
			},
		},
		{Title: "Since the last scan", Unit: "s", Queries: []Query{
			{`time() - max by (account) (max_over_time(driftless_scan_finished_timestamp_seconds{account=~"$account"}[2d]))`, "{{account}}"},
			{`max by (account) (driftless_scan_interval_seconds{account=~"$account"})`, "interval {{account}}"},
		}},
	}},
	{Title: "Reconciliation", Panels: []Panel{
		{Title: "Open drift", Help: "By kind and state.", Unit: "short", Queries: []Query{
			{
				`sum by (kind, state) (max by (account, kind, state) (driftless_drift_open{account=~"$account"})) > 0`,
				"{{kind}} {{state}}",
			},
		}},
		{Title: "Drift", Help: "Found and repaired in five minutes.", Unit: "short", Queries: []Query{
			{`sum(increase(driftless_drift_found_total{account=~"$account"}[5m]))`, "found"},
			{`sum(increase(driftless_drift_repaired_total{account=~"$account"}[5m]))`, "repaired"},
		}},
		{Title: "Notifications", Help: "Attempts in five minutes.", Unit: "short", Queries: []Query{
			{
				`sum by (target, result) (increase(driftless_notifications_total{account=~"$account"}[5m]))`,
				"{{target}} {{result}}",
			},
		}},
		{Title: "Events for programs", Help: "Age of the oldest that is not published.", Unit: "s", Queries: []Query{
			{`max by (account) (driftless_program_event_oldest_age_seconds{account=~"$account"})`, "{{account}}"},
		}},
		{Title: "Ledger transactions", Help: "Duration, 95th percentile.", Unit: "s", Queries: []Query{
			{`histogram_quantile(0.95, sum by (le, stream) (rate(driftless_ledger_write_duration_seconds_bucket{account=~"$account"}[$__rate_interval])))`, "{{stream}}"},
		}},
		{Title: "Ledger behind", Help: "1 while the ledger reads streams again.", Unit: "short", Queries: []Query{
			{`max by (account) (driftless_ledger_behind{account=~"$account"})`, "{{account}}"},
		}},
		{Title: "Waiting", Unit: "short", Queries: []Query{
			{`sum by (stream) (max by (account, stream, consumer) (driftless_consumer_pending{account=~"$account", consumer="reconciliation"}))`, "{{stream}}"},
		}},
	}},
	{Title: "Ingestion", Panels: []Panel{
		{Title: "Capture", Help: "From commit to CATALOG.", Unit: "s", Exemplars: true, Queries: []Query{
			{`histogram_quantile(0.5, sum by (le) (rate(driftless_capture_duration_seconds_bucket{account=~"$account"}[$__rate_interval])))`, "p50"},
			{`histogram_quantile(0.95, sum by (le) (rate(driftless_capture_duration_seconds_bucket{account=~"$account"}[$__rate_interval])))`, "p95"},
			{`histogram_quantile(0.99, sum by (le) (rate(driftless_capture_duration_seconds_bucket{account=~"$account"}[$__rate_interval])))`, "p99"},
		}},
		{Title: "Products a second", Unit: "ops", Queries: []Query{
			{`sum(rate(driftless_capture_products_total{account=~"$account"}[$__rate_interval]))`, "captured"},
			{
				`sum(rate(driftless_catalog_read_products_total{account=~"$account"}[$__rate_interval]))`,
				"read in snapshots and comparisons",
			},
			{
				`sum by (result) (rate(driftless_catalog_write_backs_total{account=~"$account"}[$__rate_interval]))`,
				"written back: {{result}}",
			},
		}},
		{
			Title: "Compared with the tables",
			Help:  "Products compared a second, and products in an hour whose change the log did not report.",
			Unit:  "short",
			Queries: []Query{
				{
					`sum(rate(driftless_capture_compared_products_total{account=~"$account"}[$__rate_interval]))`,
					"compared a second",
				},
				{
					`sum(increase(driftless_capture_missed_products_total{account=~"$account"}[1h]))`,
					"missed in an hour",
				},
				{
					`max by (account) (driftless_capture_unwatched_tables{account=~"$account"})`,
					"unwatched tables {{account}}",
				},
			},
		},
		{Title: "Duration of a comparison", Help: "Of the whole catalog, 95th percentile.", Unit: "s", Queries: []Query{
			{`histogram_quantile(0.95, sum by (le) (rate(driftless_capture_comparison_duration_seconds_bucket{account=~"$account"}[1d])))`, "p95"},
		}},
		{Title: "State of capture", Help: "1 for the current state.", Unit: "short", Queries: []Query{
			{`max by (account, state) (driftless_capture_status{account=~"$account"}) > 0`, "{{state}} {{account}}"},
		}},
		{
			Title: "Captured and converged",
			Help:  "Age of the commit up to which all changes are in CATALOG, and in Stripe.", Unit: "s",
			Queries: []Query{
				{
					`time() - max by (account) (driftless_captured_timestamp_seconds{account=~"$account"})`,
					"captured {{account}}",
				},
				{
					`time() - max by (account, lane) (driftless_converged_timestamp_seconds{account=~"$account"})`,
					"converged {{lane}} {{account}}",
				},
			},
		},
		{
			Title: "Capture lag", Help: "Age of the oldest write-ahead log that is not captured.", Unit: "s",
			Queries: []Query{
				{`max by (account) (driftless_replication_lag_duration_seconds{account=~"$account"})`, "{{account}}"},
			},
		},
		{
			Title: "Write-ahead log",
			Help:  "Not captured, kept by the database for the slot, and left until the slot is lost.",
			Unit:  "bytes", Queries: []Query{
				{`max by (account) (driftless_replication_lag_bytes{account=~"$account"})`, "not captured {{account}}"},
				{`max by (account) (driftless_replication_retained_bytes{account=~"$account"})`, "kept {{account}}"},
				{
					`min by (account) (driftless_replication_headroom_bytes{account=~"$account"})`,
					"until lost {{account}}",
				},
			},
		},
		{
			Title: "Slots that nobody reads", Help: "Write-ahead log that the database keeps for them.", Unit: "bytes",
			Queries: []Query{
				{`max by (slot) (driftless_replication_inactive_slot_retained_bytes{account=~"$account"})`, "{{slot}}"},
			},
		},
		{
			Title: "Readers of the slot",
			Help:  "1 while an ingestion reads the slot, and the number of standbys.", Unit: "short",
			Queries: []Query{
				{`max by (account) (driftless_replication_active{account=~"$account"})`, "read {{account}}"},
				{
					`count by (account) (driftless_ingestion_active{account=~"$account"} == 0)`,
					"standbys {{account}}",
				},
			},
		},
	}},
	{Title: "NATS", Panels: []Panel{
		{Title: "Backlog of all consumers", Unit: "short", Queries: []Query{
			{`sum by (stream, consumer) (max by (account, stream, consumer) (driftless_consumer_pending{account=~"$account"} + driftless_consumer_in_flight{account=~"$account"}))`, "{{stream}} {{consumer}}"},
		}},
		{Title: "Oldest message", Unit: "s", Queries: []Query{
			{
				`max by (stream, consumer) (driftless_consumer_oldest_age_seconds{account=~"$account"})`,
				"{{stream}} {{consumer}}",
			},
		}},
		{Title: "Redeliveries", Help: "Per second, and in flight.", Unit: "short", Queries: []Query{
			{
				`sum by (consumer) (rate(driftless_message_redeliveries_total{account=~"$account"}[$__rate_interval]))`,
				"{{consumer}} a second",
			},
			{`sum by (consumer) (max by (account, stream, consumer) (driftless_consumer_redelivered{account=~"$account"}))`, "{{consumer}} in flight"},
		}},
		{Title: "Duration of a message", Help: "95th percentile.", Unit: "s", Queries: []Query{
			{`histogram_quantile(0.95, sum by (le, component, consumer) (rate(driftless_message_process_duration_seconds_bucket{account=~"$account"}[$__rate_interval])))`, "{{component}} {{consumer}}"},
		}},
		{Title: "Streams", Help: "Messages of all accounts.", Unit: "short", Queries: []Query{
			{"max by (stream) (driftless_stream_messages)", "{{stream}}"},
		}},
		{Title: "Size", Help: "Of all accounts.", Unit: "bytes", Queries: []Query{
			{"max by (stream) (driftless_stream_size_bytes)", "{{stream}}"},
		}},
		{Title: "Paused", Help: "1 while a consumer is paused.", Unit: "short", Queries: []Query{
			{
				`max by (stream, consumer) (driftless_consumer_paused{account=~"$account"}) > 0`,
				"{{stream}} {{consumer}}",
			},
		}},
		{Title: "Paused by an operator", Help: "1 while driftless pause is in force.", Unit: "short", Queries: []Query{
			{`max by (component) (driftless_paused{account=~"$account"}) > 0`, "{{component}}"},
		}},
		{
			Title: "Connected", Help: "1 if a process of the service reaches the server.", Unit: "short",
			Queries: []Query{
				{`max by (component) (driftless_nats_connected{account=~"$account"})`, "{{component}} to NATS"},
				{
					`max by (component, database) (driftless_database_reachable{account=~"$account"})`,
					"{{component}} to its database ({{database}})",
				},
			},
		},
		{
			Title: "Age of metrics", Help: "Values older than two minutes are not shown.", Unit: "s",
			Queries: []Query{
				{
					`min by (component, source) (driftless_metrics_age_seconds{account=~"$account"})`,
					"{{component}} {{source}}",
				},
			},
		},
		{Title: "Lost connections", Help: "In five minutes.", Unit: "short", Queries: []Query{
			{
				`sum by (component) (increase(driftless_nats_disconnects_total{account=~"$account"}[5m]))`,
				"{{component}}",
			},
		}},
		{Title: "Processes", Help: "By version.", Unit: "short", Queries: []Query{
			{`count by (component, version) (driftless_build_info{account=~"$account"})`, "{{component}} {{version}}"},
		}},
	}},
}
