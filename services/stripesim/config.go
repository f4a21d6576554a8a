package stripesim

import (
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"
)

// Defaults of Config.
const (
	DefaultAddr                 = "127.0.0.1:12111"
	DefaultAccount              = "acct_1SimulatedAccount"
	DefaultAPIVersion           = "2023-10-16"
	DefaultIdempotencyRetention = 24 * time.Hour
	DefaultRequestLog           = 10_000
	DefaultWebhookTimeout       = 10 * time.Second
	DefaultWebhookFirstRetry    = 500 * time.Millisecond
	DefaultWebhookLongestRetry  = 30 * time.Second
	DefaultWebhookGiveUp        = 72 * time.Hour
)

// Config configures a simulator. The zero value is usable: any key, Stripe's limits, no webhooks, nothing stored.
type Config struct {
	// Addr is the address on which Run listens. Defaults to DefaultAddr. Ignored if Listener is set.
	Addr     string
	Listener net.Listener
	// AllowedHosts are the names that Run accepts in a Host header, in addition to those of this machine. On a loopback
	// address it refuses all others. Everywhere it refuses pages of other origins.
	AllowedHosts []string
	// APIKeys are the accepted keys. Without any, every sk_ and rk_ key is accepted, test and live. A rk_ key with
	// readonly in its name may then not write.
	APIKeys []APIKey
	// Account is the id of the keys' own account. Defaults to DefaultAccount.
	Account string
	// Accounts are the connected accounts. Without any, every acct_ id exists.
	Accounts []string
	// APIVersion is the account's version. It applies to requests without Stripe-Version, and to events. Defaults to
	// DefaultAPIVersion.
	APIVersion string
	// Webhooks are endpoints in addition to those registered by POST /v1/webhook_endpoints. They receive the events of
	// both modes.
	Webhooks []Webhook
	// DataFile keeps the state, and is created if absent. Without one, nothing is stored. Two simulators must not share
	// one.
	DataFile string
	// Limits are the rate limits. Default to Stripe's.
	Limits Limits
	// Faults are set at the start.
	Faults []Fault
	// Clock provides the time for timestamps, rate limits and expiry. Defaults to time.Now. Timers do the waiting
	// (latency, retries of webhooks).
	Clock func() time.Time
	// Logger logs errors, and with level debug every request. Defaults to slog.Default().
	Logger *slog.Logger

	// IdempotencyRetention is how long answers are kept for their idempotency keys. Defaults to
	// DefaultIdempotencyRetention.
	IdempotencyRetention time.Duration
	// RequestLog is the number of requests kept for inspection, none if negative. Defaults to DefaultRequestLog.
	RequestLog int

	// WebhookTimeout limits one attempt. The delay between attempts doubles from the first to the maximum, and then the
	// event is given up. Stripe itself retries over hours. Zero values get defaults.
	WebhookTimeout      time.Duration
	WebhookFirstRetry   time.Duration
	WebhookLongestRetry time.Duration
	WebhookGiveUp       time.Duration

	// LockObjects answers 429 lock_timeout to a write while another write to the same object is running. Otherwise
	// writes wait for each other.
	LockObjects bool
	// RefuseDeletedIDs refuses a product id that a deleted product had. Stripe does not document its behaviour.
	RefuseDeletedIDs bool
	// UnfilteredInactivePrices makes GET /v1/prices without active list inactive prices too. Stripe's documentation
	// says that it lists the active ones.
	UnfilteredInactivePrices bool
	// DocumentedClearsOnly refuses an empty value unless Stripe's OpenAPI document offers it. The fields are
	// default_price, statement_descriptor, nickname and lookup_key.
	DocumentedClearsOnly bool
	// OnUndocumented is called for each request that is accepted only because DocumentedClearsOnly or RefuseDeletedIDs
	// is not set. It may be called concurrently.
	OnUndocumented func()
}

// APIKey is an accepted key.
type APIKey struct {
	// Key starts with sk_test_, sk_live_, rk_test_ or rk_live_. The prefix defines the mode.
	Key string
	// ReadOnly makes it a restricted key that may not write. Writes are answered with 403.
	ReadOnly bool
	// Account is the key's own account. Defaults to Config.Account.
	Account string
}

// Webhook is an endpoint of the configuration.
type Webhook struct {
	URL string
	// Secrets sign each delivery, with one signature each. There are two while a secret is being rolled.
	Secrets []string
	// Events are the types to deliver. Defaults to all.
	Events []string
	// APIVersion is the version in which deliveries are rendered. Defaults to Config.APIVersion.
	APIVersion string
	// Connect delivers the events of connected accounts instead of the account's own.
	Connect bool
}

// Limits are rate limits. A request over a limit is answered with 429 and not executed.
type Limits struct {
	// Off turns all limits off.
	Off bool `json:"off,omitempty"`
	// PerSecond is the account's limit. Defaults to Stripe's: 100 in live mode and 25 in test mode.
	PerSecond float64 `json:"per_second,omitempty"`
	// PerEndpoint is the limit of each operation, such as POST /v1/prices/{price}, for all objects together. Defaults
	// to 25.
	PerEndpoint float64 `json:"per_endpoint,omitempty"`
	// Burst is how many seconds' worth of requests may arrive at once after a pause. Defaults to 1.
	Burst float64 `json:"burst,omitempty"`
	// Concurrency and EndpointConcurrency limit the concurrent requests. 0 means no limit.
	Concurrency         int `json:"concurrency,omitempty"`
	EndpointConcurrency int `json:"endpoint_concurrency,omitempty"`
}

func (c Config) withDefaults() (Config, error) {
	setDefault(&c.Addr, DefaultAddr)
	setDefault(&c.Account, DefaultAccount)
	setDefault(&c.APIVersion, DefaultAPIVersion)
	setDefault(&c.IdempotencyRetention, DefaultIdempotencyRetention)
	setDefault(&c.RequestLog, DefaultRequestLog)
	setDefault(&c.WebhookTimeout, DefaultWebhookTimeout)
	setDefault(&c.WebhookFirstRetry, DefaultWebhookFirstRetry)
	setDefault(&c.WebhookLongestRetry, DefaultWebhookLongestRetry)
	setDefault(&c.WebhookGiveUp, DefaultWebhookGiveUp)
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if !apiVersion.MatchString(c.APIVersion) {
		return c, fmt.Errorf("simulator: %q is not an API version: write it like %s", c.APIVersion, DefaultAPIVersion)
	}
	for _, k := range c.APIKeys {
		if _, _, ok := keyMode(k.Key); !ok {
			return c, fmt.Errorf(
				"simulator: %q is not an API key: it must start with sk_test_, sk_live_, rk_test_ or rk_live_",
				mask(k.Key))
		}
	}
	for _, w := range c.Webhooks {
		if !strings.HasPrefix(w.URL, "http://") && !strings.HasPrefix(w.URL, "https://") {
			return c, fmt.Errorf("simulator: the webhook address %q must start with http:// or https://", w.URL)
		}
		if len(w.Secrets) == 0 {
			return c, fmt.Errorf("simulator: the webhook %s needs a secret to sign with", w.URL)
		}
		if w.APIVersion != "" && !apiVersion.MatchString(w.APIVersion) {
			return c, fmt.Errorf("simulator: %q of the webhook %s is not an API version: write it like %s",
				w.APIVersion, w.URL, DefaultAPIVersion)
		}
	}
	return c, nil
}

func setDefault[T comparable](to *T, value T) {
	var zero T
	if *to == zero {
		*to = value
	}
}
