// Package stripesim simulates Stripe for laptops and tests. It is an HTTP server with state that obeys Stripe's rules
// for products, prices, events and webhooks. It has Stripe's limits and idempotency keys and, on demand, its failures.
// It knows nothing of Driftless. Real clients (stripe-go, curl) use it by setting their base address.
//
// # What it serves
//
//	POST GET        /v1/products            POST GET DELETE  /v1/products/{id}
//	POST GET        /v1/prices              POST GET         /v1/prices/{price}
//	GET             /v1/events              GET              /v1/events/{id}
//	POST GET        /v1/webhook_endpoints   POST GET DELETE  /v1/webhook_endpoints/{webhook_endpoint}
//	GET             /v1/subscriptions       GET              /v1/payment_links
//	GET             /v1/account
//	GET             /healthz
//
// Authentication, test and live mode, connected accounts (Stripe-Account), API versions (Stripe-Version), expansion,
// cursors, both rate limits, idempotency keys, event log and signed, retried webhooks work as Stripe documents them.
// Answers are checked against Stripe's OpenAPI document by this package's tests.
//
// Where Stripe's behaviour is not documented, Config has a choice: RefuseDeletedIDs, UnfilteredInactivePrices,
// DocumentedClearsOnly.
//
// # The admin API
//
// Everything under /_sim/ exists only in the simulator. It accepts and returns JSON, and needs no key. Go programs use
// Admin, or the methods of Sim if they run it themselves.
//
//	GET    /_sim/faults               the faults that are set, with how often each has fired
//	POST   /_sim/faults               add a Fault; returns it with its id
//	DELETE /_sim/faults               clear them
//	DELETE /_sim/faults/{id}          clear one
//	GET    /_sim/requests             the write requests received, oldest first, as Request; query: object, operation,
//	                                  key_prefix, limit (at most this many, the latest)
//	DELETE /_sim/requests             delete them
//	GET    /_sim/stats                counters, as Stats
//	DELETE /_sim/stats                set them to zero
//	GET    /_sim/limits               the rate limits
//	PUT    /_sim/limits               change them, as Limits
//	POST   /_sim/reset                delete everything: objects, events, keys, faults, requests, counters
//
// The Dashboard's calls accept forms with the API's parameter names. The Dashboard has no limits, faults or idempotency
// keys, and its events have none either. All calls accept the query parameters account (a connected account) and
// livemode=true.
//
//	POST   /_sim/dashboard/products             create a product
//	POST   /_sim/dashboard/products/{id}        edit one
//	DELETE /_sim/dashboard/products/{id}        delete one without prices; with_prices=true deletes its prices first
//	POST   /_sim/dashboard/prices               create a price; inline=true makes one as a checkout does, in no list
//	POST   /_sim/dashboard/prices/{id}          edit one
//	DELETE /_sim/dashboard/prices/{id}          delete one that is not the default of its product; the API cannot
//	POST   /_sim/dashboard/subscriptions        make a subscription with items[0][price]; status defaults to active
//	POST   /_sim/dashboard/subscriptions/{id}   give one another status
//	POST   /_sim/dashboard/payment_links        make a payment link with line_items[0][price]
//	POST   /_sim/dashboard/payment_links/{id}   change active
//
// # Faults
//
// A Fault defines a failure (Kind), its requests (Method, Path, Object) and its frequency (Skip, Count, Probability
// with Seed). Faults of requests:
//
//	rate_limit      429 with Reason in Stripe-Rate-Limited-Reason; not executed, not stored for the key
//	lock_timeout    429 lock_timeout; not executed, not stored
//	error_before    500 before execution; stored
//	error_after     500 after execution; stored
//	unavailable     503; not executed, not stored
//	bad_gateway     502 with a page of HTML; not executed, not stored
//	latency         the answer takes Delay longer; the object is busy meanwhile
//	response_lost   executed and stored, then the connection is closed without an answer
//	reset           the connection is closed at once; Go's HTTP client repeats such a request itself if it has an
//	                idempotency key and the connection was reused
//	key_revoked     401 api_key_expired, as for a key that was rolled; Key names the key if only one is to be refused
//	forbidden       403, as for a restricted key that lacks the operation's permission
//	refused         a 4xx with Status, Code, Message, Param and ShouldRetry; not executed, and stored for the key
//
// Faults of webhooks, where Event is a pattern of event types:
//
//	webhook_lost         never delivered
//	webhook_duplicated   delivered twice
//	webhook_delayed      delivered Delay later
//	webhook_reordered    delivered after the next one to the same endpoint, or after Delay (2 s if 0)
//
// # Durability
//
// With Config.DataFile, acknowledged changes survive the end of the process, including kill -9. Every change is written
// to a journal of JSON lines before the answer. The journal is not fsynced, so a power failure may lose the last ones.
package stripesim
