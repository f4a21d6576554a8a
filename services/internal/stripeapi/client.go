package stripeapi

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/form"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
)

// DefaultBase is the address of Stripe's API.
const DefaultBase = "https://api.stripe.com"

const tracerName = "github.com/driftless-sync/driftless/services/internal/stripeapi"

// RequestTimeout bounds one call. Stripe answers within seconds. A call that times out has an unknown outcome.
const RequestTimeout = 30 * time.Second

// Config configures a Client.
type Config struct {
	// Key is a secret or restricted key.
	Key string
	// Base is the API's address. Defaults to DefaultBase.
	Base string
	// StripeAccount is a connected account to act on. Defaults to the key's own account.
	StripeAccount string
	// Budget gives every call its turn. Nil makes calls at once.
	Budget *budget.Budget
	// Transport carries the calls. Defaults to a pooled one of the client's own.
	Transport http.RoundTripper
}

// Client calls Stripe. Every call waits for its turn in the account's budget; none is retried here: the queue does
// that. A Client may be used concurrently.
type Client struct {
	backend stripe.Backend
	key     string
	account string
	budget  *budget.Budget
	access  access
}

// New returns a client. It does not connect.
func New(cfg Config) *Client {
	base := cfg.Base
	if base == "" {
		base = DefaultBase
	}
	transport := cfg.Transport
	if transport == nil {
		pooled := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // the standard library's own value
		pooled.MaxIdleConnsPerHost = 128
		transport = pooled
	}
	shared := cfg.Budget
	if shared == nil {
		shared = budget.New(nil, nil, nil, budget.Limits{}, nil)
	}
	return &Client{
		backend: stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
			URL:               stripe.String(base),
			HTTPClient:        &http.Client{Timeout: RequestTimeout, Transport: telemetry.HTTPTransport(transport)},
			MaxNetworkRetries: stripe.Int64(0),
			EnableTelemetry:   stripe.Bool(false),
			LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull},
		}),
		key: cfg.Key, account: cfg.StripeAccount, budget: shared,
	}
}

// answer is the part of a response that is kept.
type answer struct {
	stripe.APIResource

	// sentAt is when the request was sent, and waited how long it had waited for its turn before.
	sentAt time.Time
	waited time.Duration
}

// UnmarshalJSON stops stripe-go from decoding the answer. Callers decode its body.
func (a *answer) UnmarshalJSON([]byte) error { return nil }

func (a *answer) body() []byte { return a.LastResponse.RawJSON }

// seen returns the second of Stripe's clock at which the answer was given.
func (a *answer) seen() int64 {
	t, err := http.ParseTime(a.LastResponse.Header.Get("Date"))
	if err != nil {
		return time.Now().Unix()
	}
	return t.Unix()
}

// read makes a request that changes nothing.
func (c *Client) read(ctx context.Context, endpoint, id string, body *form.Values) (*answer, error) {
	return c.call(ctx, "", endpoint, id, "", body, nil)
}

// minSpanWait is the shortest wait for a turn that is worth a span. It is longer than the time between two turns at
// Stripe's lowest rate, 25 calls per second.
const minSpanWait = 50 * time.Millisecond

// waitForTurn waits until the account's budget lets a call be made.
func (c *Client) waitForTurn(ctx context.Context, endpoint string) (done func(reason string), err error) {
	begun := time.Now()
	done, err = c.budget.Wait(ctx, endpoint)
	if err != nil {
		err = &NotSentError{fmt.Errorf("wait for a turn within Stripe's rate limit: %w", err)}
	}
	if err != nil || time.Since(begun) >= minSpanWait {
		_, span := otel.Tracer(tracerName).Start(ctx, "wait for budget", trace.WithTimestamp(begun))
		telemetry.Fail(span, err)
		span.End()
	}
	return done, err
}

// call makes one request, with the API version given, or the pinned one if that is empty. endpoint is the operation as
// Stripe counts it, with {id} for the object's id. If before is not nil, it runs when the request's turn has come. If
// it fails, the request is not made.
func (c *Client) call(ctx context.Context, version, endpoint, id, idempotencyKey string, body *form.Values,
	before func() error,
) (*answer, error) {
	waiting := time.Now()
	ctx = telemetry.ContextWithEndpoint(ctx, endpoint)
	done, err := c.waitForTurn(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	countWait(ctx, waiting)
	if before != nil {
		if err := before(); err != nil {
			done("")
			return nil, &NotSentError{err}
		}
	}
	method, path, _ := strings.Cut(endpoint, " ")
	path = strings.Replace(path, "{id}", url.PathEscape(id), 1)
	params := &stripe.Params{Context: ctx}
	if method == http.MethodPost && idempotencyKey != "" {
		params.SetIdempotencyKey(idempotencyKey)
	}
	if c.account != "" {
		params.SetStripeAccount(c.account)
	}
	if version != "" {
		params.Headers = http.Header{"Stripe-Version": {version}}
	}
	begun := time.Now()
	a := &answer{sentAt: begun, waited: begun.Sub(waiting)}
	err = c.backend.CallRaw(method, path, c.key, body, params, a)
	countRequest(ctx, endpoint, begun, err)
	c.access.note(endpoint, err)
	done(RateLimitReason(err))
	if err != nil {
		return nil, err
	}
	return a, nil
}
