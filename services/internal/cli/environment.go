package cli

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/service"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// serviceSettings are the settings that the program of each service reads.
var serviceSettings = map[string]any{
	topology.Ingestion:      config.IngestionService{},
	topology.Push:           config.PushService{},
	topology.Pull:           config.PullService{},
	topology.Reconciliation: config.ReconciliationService{},
	console:                 config.ConsoleService{},
}

// commonVariables are the variables of this process that every service gets beside its settings. They say where the
// parts of the system are, and set up Go and OpenTelemetry. A name that ends in "_" is a prefix. The list is short
// because a shell has secrets of other programs too.
var commonVariables = []string{
	"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "LANG", "LC_", "LD_LIBRARY_PATH",
	"SSL_CERT_FILE", "SSL_CERT_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	"GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GOTRACEBACK", "GOCOVERDIR", "OTEL_",
}

// postgresVariables are the variables of libpq that pgx reads. Services with a database get them.
var postgresVariables = []string{
	"PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE",
	"PGAPPNAME", "PGOPTIONS", "PGTZ", "PGCONNECT_TIMEOUT", "PGTARGETSESSIONATTRS", "PGCHANNELBINDING", "PGREQUIREAUTH",
	"PGMINPROTOCOLVERSION", "PGMAXPROTOCOLVERSION", "PGSSLMODE", "PGSSLKEY", "PGSSLCERT", "PGSSLCERTMODE", "PGSSLSNI",
	"PGSSLROOTCERT", "PGSSLPASSWORD", "PGSSLNEGOTIATION",
}

// environment returns the variables of a service: its settings, and what every program needs. No service gets the
// secrets of another.
func (u *up) environment(program string) []string {
	own := config.Variables(serviceSettings[program])
	pass := commonVariables
	if slices.Contains(own, "DATABASE_URL") {
		pass = slices.Concat(commonVariables, postgresVariables)
	}
	set := u.settings()
	if set["NATS_URL"] != "" {
		// On the private server each service has its own user.
		set["NATS_URL"] = u.natsURL(program)
	}
	if program == topology.Ingestion && u.DryRun && u.DatabaseURL != "" {
		// A dry run creates no tables in the operator's database.
		set["DRIFTLESS_MIGRATIONS"] = "check"
	}
	if program == topology.Reconciliation && set["LEDGER_DATABASE_URL"]+set["LEDGER_DATABASE_URL_FILE"] != "" {
		// The ledger has its own database, so reconciliation does not get the catalog's.
		set["DATABASE_URL"], set["DATABASE_URL_FILE"] = "", ""
	}
	env := slices.DeleteFunc(os.Environ(), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		if slices.Contains(own, name) {
			_, isSet := set[strings.TrimSuffix(name, "_FILE")]
			return isSet
		}
		return !slices.ContainsFunc(pass, func(p string) bool {
			return name == p || strings.HasSuffix(p, "_") && strings.HasPrefix(name, p)
		})
	})
	for name, value := range set {
		if value != "" && slices.Contains(own, name) {
			env = append(env, name+"="+value)
		}
	}
	if program == console {
		env = append(env, service.LinkKeyVariable+"="+u.linkKey,
			service.LinkTokenVariable+"="+u.cli.Token.Reveal())
	}
	return env
}

// settings returns the settings of all services by variable.
func (u *up) settings() map[string]string {
	set := map[string]string{
		"DRIFTLESS_ACCOUNT":              u.Account,
		"DATABASE_URL":                   u.endpoints.Database,
		"NATS_URL":                       u.endpoints.NATS,
		"NATS_REPLICAS":                  strconv.Itoa(u.replicas()),
		"NATS_CREDS":                     u.NATSCreds,
		"NATS_NKEY":                      u.NATSNKey,
		"NATS_CA":                        u.NATSCA,
		"NATS_CERT":                      u.NATSCert,
		"NATS_KEY":                       u.NATSKey,
		"STRIPE_API_KEY":                 u.StripeAPIKey.Reveal(),
		"STRIPE_API_BASE":                u.endpoints.Stripe,
		"DRIFTLESS_TOKEN":                u.cli.Token.Reveal(),
		"DRIFTLESS_TOKENS":               string(u.Tokens.Tokens),
		"STRIPE_WEBHOOK_SECRET":          strings.Join(u.StripeWebhookSecret.Reveal(), ","),
		"LEDGER_DATABASE_URL":            u.LedgerDatabaseURL.Reveal(),
		"DRIFTLESS_INGESTION_ADDR":       u.IngestionAddr,
		"DRIFTLESS_PULL_ADDR":            u.PullAddr,
		"DRIFTLESS_RECONCILIATION_ADDR":  u.ReconciliationAddr,
		"DRIFTLESS_PUSH_ADDR":            u.PushAddr,
		"DRIFTLESS_CONSOLE_ADDR":         u.ConsoleAddr,
		"DRIFTLESS_CONSOLE_URL":          u.ConsoleURL,
		"DRIFTLESS_CONSOLE_SESSION_KEY":  u.ConsoleSessionKey.Reveal(),
		"DRIFTLESS_CONSOLE_JAEGER_URL":   u.ConsoleJaegerURL,
		"DRIFTLESS_CONSOLE_STRIPE_URL":   u.ConsoleStripeURL,
		"DRIFTLESS_CONSOLE_TOKEN":        u.ConsoleToken.Reveal(),
		"DRIFTLESS_OPENID_ISSUER":        u.OpenIDIssuer,
		"DRIFTLESS_OPENID_CLIENT_ID":     u.OpenIDClientID,
		"DRIFTLESS_OPENID_CLIENT_SECRET": u.OpenIDClientSecret.Reveal(),
		"DRIFTLESS_OPENID_SCOPES":        strings.Join(u.OpenIDScopes, ","),
		"DRIFTLESS_OPENID_NAME_CLAIM":    u.OpenIDNameClaim,
		"DRIFTLESS_OPENID_ROLE_CLAIM":    u.OpenIDRoleClaim,
		"DRIFTLESS_OPENID_ROLES":         strings.Join(u.OpenIDRoles, ","),
		"DRIFTLESS_CONTROL_URL":          u.endpoints.Control,
		"DRIFTLESS_INGEST_URL":           u.endpoints.Ingest,
		"DRIFTLESS_SLOT":                 u.Slot,
		"DRIFTLESS_PUBLICATION":          u.Publication,
		"DRIFTLESS_ACCEPT_DATABASE":      u.AcceptDatabase,
		"DRIFTLESS_STRIPE_IDS":           strconv.FormatBool(u.StripeIDs),
		"DRIFTLESS_PRICES_ARCHIVE_AFTER": u.PricesArchiveAfter.String(),
		"DRIFTLESS_PUSH_CONCURRENCY":     strconv.Itoa(u.PushConcurrency),
		"DRIFTLESS_PUSH_CREATE":          strconv.FormatBool(u.PushCreate),
		"DRIFTLESS_TAKE_LOOKUP_KEYS":     strconv.FormatBool(u.TakeLookupKeys),
		"DRIFTLESS_POLL_INTERVAL":        u.PollInterval.String(),
		"DRIFTLESS_GRACE_PERIOD":         u.GracePeriod.String(),
		"DRIFTLESS_SCAN_INTERVAL":        u.ScanInterval.String(),
		"DRIFTLESS_DRIFT_POLICY":         u.DriftPolicy,
		"DRIFTLESS_POLICY":               u.Policy.Policy.String(),
		"DRIFTLESS_EXTRAS":               u.Extras,
		"DRIFTLESS_HISTORY_RETENTION":    u.HistoryRetention.String(),
		"DRIFTLESS_PUBLISH_EVENTS":       strconv.FormatBool(u.PublishEvents),
		"DRIFTLESS_NOTIFY_URL":           u.NotifyURL.Reveal(),
		"DRIFTLESS_NOTIFY_SECRET":        u.NotifySecret.Reveal(),
		"DRIFTLESS_NOTIFY_SLACK_URL":     u.NotifySlackURL.Reveal(),
		"DRIFTLESS_NOTIFY_KINDS":         strings.Join(u.NotifyKinds, ","),
		"DRIFTLESS_LOG_LEVEL":            u.ServiceLogLevel,
		"DRIFTLESS_LOG_FORMAT":           telemetry.LogFormat(os.Stderr, u.cli.LogFormat),
		"DRIFTLESS_CONFIG":               u.cli.Config,
		"DRIFTLESS_ALLOWED_HOSTS":        strings.Join(u.AllowedHosts, ","),
		"STRIPE_ACCOUNT":                 u.StripeAccount,
		"STRIPE_RATE":                    formatRate(u.StripeRate),
		"STRIPE_ENDPOINT_RATE":           formatRate(u.StripeEndpointRate),
		"STRIPE_READ_ALLOWANCE":          strconv.FormatUint(u.StripeReadAllowance, 10),
	}
	maps.Copy(set, u.guardSettings())
	if u.simulator != nil {
		set["STRIPE_API_KEY"], set["STRIPE_WEBHOOK_SECRET"] = simulatorKey, u.webhookSecret
		if u.StripeRate == 0 {
			set["STRIPE_RATE"] = formatRate(simulatorRate)
		}
		for _, d := range simulatorDefaults {
			if !u.isSet(d.flag) {
				set[d.variable] = d.value
			}
		}
	}
	// The services read the files themselves, and again while they run.
	for name, file := range map[string]string{
		"DATABASE_URL": u.DatabaseURLFile, "LEDGER_DATABASE_URL": u.LedgerDatabaseURLFile, "NATS_URL": u.NATSURLFile,
		"DRIFTLESS_TOKENS": u.TokensFile,
	} {
		if file != "" {
			set[name], set[name+"_FILE"] = "", file
		}
	}
	return set
}

// guardSettings returns the rules of the guard by variable.
func (u *up) guardSettings() map[string]string {
	return map[string]string{
		"DRIFTLESS_GUARD_AMOUNT_CHANGE":    formatRate(u.GuardAmountChange),
		"DRIFTLESS_GUARD_ZERO_AMOUNT":      strconv.FormatBool(u.GuardZeroAmount),
		"DRIFTLESS_GUARD_NO_ACTIVE_PRICE":  strconv.FormatBool(u.GuardNoActivePrice),
		"DRIFTLESS_GUARD_NO_DEFAULT_PRICE": strconv.FormatBool(u.GuardNoDefaultPrice),
		"DRIFTLESS_GUARD_PRICE_SHARE":      formatRate(u.GuardPriceShare),
		"DRIFTLESS_GUARD_PRICE_LEAST":      strconv.FormatUint(u.GuardPriceLeast, 10),
		"DRIFTLESS_GUARD_CURRENCY_SHARE":   formatRate(u.GuardCurrencyShare),
		"DRIFTLESS_GUARD_CURRENCY_LEAST":   strconv.FormatUint(u.GuardCurrencyLeast, 10),
		"DRIFTLESS_GUARD_SHARE":            formatRate(u.GuardShare),
		"DRIFTLESS_GUARD_LEAST":            strconv.FormatUint(u.GuardLeast, 10),
		"DRIFTLESS_GUARD_APPROVERS":        strconv.Itoa(u.GuardApprovers),
	}
}

func formatRate(r float64) string { return strconv.FormatFloat(r, 'f', -1, 64) }
