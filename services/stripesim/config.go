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

// Config of a simulator. The zero value is a usable one: any key, Stripe's limits, no webhooks, nothing kept.
type Config struct {
	// Addr is where Run listens; DefaultAddr if empty. Ignored if Listener is set.
	Addr     string
	Listener net.Listener
	// AllowedHosts are the names that Run takes in a Host header beside those of this machine. On a loopback address it
	// refuses all others, and pages of other origins everywhere.
	AllowedHosts []string
	// APIKeys are those that are accepted; none means every sk_ and rk_ key, test and live. A rk_ key with readonly in
	// it may then not write.
	APIKeys []APIKey
	// Account is the id of the keys' own account; DefaultAccount if empty.
	Account string
	// Accounts are the connected accounts; none means that every acct_ exists.
	Accounts []string
	// APIVersion is the account's: of requests without Stripe-Version, and of its events. DefaultAPIVersion if
	// empty.
	APIVersion string
	// Webhooks are endpoints beside those registered by POST /v1/webhook_endpoints. They get the events of both
	// modes.
	Webhooks []Webhook
	// DataFile keeps the state; it is made if absent. Empty keeps nothing. No two simulators may share one.
	DataFile string
	// Limits are Stripe's unless set.
	Limits Limits
	// Faults are set from the start.
	Faults []Fault
	// Clock tells the time of everything that is dated, limited by rate, or forgotten with age; time.Now if nil.
	// Waiting (latency, the retries of webhooks) is by timers.
	Clock func() time.Time
	// Logger gets what goes wrong, and with level debug every request; slog.Default() if nil.
	Logger *slog.Logger

	// IdempotencyRetention is how long answers are kept under their keys; DefaultIdempotencyRetention if 0.
	IdempotencyRetention time.Duration
	// RequestLog is how many requests are kept for inspection; DefaultRequestLog if 0, none if negative.
	RequestLog int

	// WebhookTimeout of one attempt, and the pauses between attempts, which double from the first to the longest
	// until an event is given up. Stripe's own run over hours. Defaults if 0.
	WebhookTimeout      time.Duration
	WebhookFirstRetry   time.Duration
	WebhookLongestRetry time.Duration
	WebhookGiveUp       time.Duration

	// LockObjects answers 429 lock_timeout to a write that finds another write to the same object at work.
	// Otherwise writes wait for each other.
	LockObjects bool
	// RefuseDeletedIDs refuses a product id that a deleted product had. Stripe's behaviour is not documented.
	RefuseDeletedIDs bool
	// UnfilteredInactivePrices makes GET /v1/prices without active list inactive prices too. Stripe's documents say
	// that it lists the active ones.
	UnfilteredInactivePrices bool
	// DocumentedClearsOnly refuses an empty value wherever Stripe's OpenAPI document does not offer it:
	// default_price, statement_descriptor, nickname, lookup_key.
	DocumentedClearsOnly bool
}

// APIKey is an accepted key.
type APIKey struct {
	// Key starts with sk_test_, sk_live_, rk_test_ or rk_live_; the prefix tells the mode.
	Key string
	// ReadOnly makes it a restricted key that may not write: 403.
	ReadOnly bool
	// Account is the key's own account; Config.Account if empty.
	Account string
}

// Webhook is an endpoint of the configuration.
type Webhook struct {
	URL string
	// Secrets sign each delivery, one signature each: two while a secret is being rolled.
	Secrets []string
	// Events are the types to deliver; none means all.
	Events []string
	// APIVersion renders the deliveries; Config.APIVersion if empty.
	APIVersion string
	// Connect delivers the events of connected accounts instead of the account's own.
	Connect bool
}

// Limits of a rate. A request over a limit is answered with 429 and is not executed.
type Limits struct {
	// Off switches all limits off.
	Off bool `json:"off,omitempty"`
	// PerSecond is the account's limit; if 0, Stripe's: 100 in live mode and 25 in test mode.
	PerSecond float64 `json:"per_second,omitempty"`
	// PerEndpoint is the limit of each operation, such as POST /v1/prices/{price}, whatever the object; 25 if 0.
	PerEndpoint float64 `json:"per_endpoint,omitempty"`
	// Burst is how many seconds' worth may come at once after a pause; 1 if 0.
	Burst float64 `json:"burst,omitempty"`
	// Concurrency and EndpointConcurrency bound the requests at work; 0 is no bound.
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
		return c, fmt.Errorf("simulator: the API version %q is none: write it like %s", c.APIVersion, DefaultAPIVersion)
	}
	for _, k := range c.APIKeys {
		if _, _, ok := keyMode(k.Key); !ok {
			return c, fmt.Errorf(
				"simulator: %q is no API key: it must start with sk_test_, sk_live_, rk_test_ or rk_live_", mask(k.Key))
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
			return c, fmt.Errorf("simulator: the API version %q of the webhook %s is none: write it like %s",
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
