// Package stripeprobe asks Stripe. It changes nothing there.
package stripeprobe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/redact"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

// Config says how to reach Stripe, and what the account should have.
type Config struct {
	// Account is the name of the Stripe account in the mesh.
	Account string
	Client  stripeapi.Config
	// WebhookPath is the path that pull serves.
	WebhookPath string
	// WebhookSecrets are the secrets that pull has.
	WebhookSecrets []string
	// SendProbe sends pull a signed event that has no effect. refused is pull's answer if it refuses the event. An
	// error means that the address does not answer.
	SendProbe func(ctx context.Context, url, secret string, live bool) (refused string, err error)
	// DefaultVersion is the API version of an endpoint that names none, empty if unknown.
	DefaultVersion string
	// Mode returns the mode that the mesh was set up in, "" if neither push nor pull has started yet.
	Mode func(ctx context.Context) (string, error)
	// Now is the clock of this machine. Defaults to time.Now.
	Now func() time.Time
}

// deliveryPatience is how long the delivery of an event may take. It is longer than the first retries.
const deliveryPatience = 10 * time.Minute

// Account is the account in Stripe as the probes see it. Safe for concurrent use.
type Account struct {
	cfg    Config
	client *stripeapi.Client
	// platform acts on the key's own account, which has the endpoints for connected accounts.
	platform *stripeapi.Client
}

// New returns the account that cfg describes.
func New(cfg Config) *Account {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	own := cfg.Client
	own.StripeAccount = ""
	return &Account{cfg: cfg, client: stripeapi.New(cfg.Client), platform: stripeapi.New(own)}
}

// right is a right of the key, and the call that shows whether the key has it.
type right struct{ id, endpoint, permission string }

// rights are the calls that show what the key may do.
var rights = []right{
	{doctor.StripeReadProducts, "GET /v1/products", "read products"},
	{doctor.StripeReadPrices, "GET /v1/prices", "read prices"},
	{doctor.StripeReadEvents, "GET /v1/events", "read events"},
	{doctor.StripeWriteProducts, "POST /v1/products/{id}", "write products"},
	{doctor.StripeWritePrices, "POST /v1/prices/{id}", "write prices"},
}

// All returns all probes of Stripe.
func (a *Account) All() []doctor.Probe {
	return []doctor.Probe{a.key(), a.rights(rights), a.mode(), a.webhooks(a.lookAtSecret), a.deliveries()}
}

func (a *Account) key() doctor.Probe {
	return doctor.Probe{
		Name:   "Stripe's API and the key",
		Covers: []string{doctor.StripeReachable, doctor.StripeKey, doctor.StripeVersion},
		Run:    a.lookAtKey,
	}
}

func (a *Account) rights(wanted []right) doctor.Probe {
	ids := make([]string, len(wanted))
	for i, r := range wanted {
		ids[i] = r.id
	}
	return doctor.Probe{
		Name: "the rights of the key", Covers: ids, Needs: []string{doctor.StripeKey},
		Run: func(ctx context.Context, r *doctor.Recorder) error { return a.lookAtRights(ctx, r, wanted) },
	}
}

func (a *Account) mode() doctor.Probe {
	return doctor.Probe{
		Name:   "the mode of the key",
		Covers: []string{doctor.StripeMode},
		Needs:  []string{doctor.NATSJetStream},
		Run:    a.lookAtMode,
	}
}

// webhooks is the probe of the endpoints. trySecret looks at the secrets of the best one, nil if there is none. It may
// be nil.
func (a *Account) webhooks(
	trySecret func(ctx context.Context, r *doctor.Recorder, best *stripeapi.Endpoint),
) doctor.Probe {
	covers := endpointChecks()
	if trySecret != nil {
		covers = append(covers, doctor.StripeWebhookSecret)
	}
	return doctor.Probe{
		Name: "the webhook endpoint", Covers: covers, Needs: []string{doctor.StripeKey},
		Run: func(ctx context.Context, r *doctor.Recorder) error {
			best, err := a.lookAtWebhooks(ctx, r)
			if err == nil && trySecret != nil {
				trySecret(ctx, r, best)
			}
			return err
		},
	}
}

// endpointChecks are the checks for which the key has to read webhook endpoints.
func endpointChecks() []string {
	return []string{
		doctor.StripeWebhook, doctor.StripeWebhookStatus, doctor.StripeWebhookEvents, doctor.StripeWebhookVersion,
		doctor.StripeWebhookURL,
	}
}

func (a *Account) deliveries() doctor.Probe {
	return doctor.Probe{
		Name:   "the deliveries of events",
		Covers: []string{doctor.StripeWebhookDelivery},
		Needs:  []string{doctor.StripeReadEvents},
		Run:    a.lookAtDeliveries,
	}
}

// Clock returns Stripe's clock.
func (a *Account) Clock() doctor.Clock {
	return doctor.Clock{ID: doctor.ClocksStripe, Name: "Stripe", Read: a.readClock}
}

func (a *Account) readClock(ctx context.Context) (time.Duration, error) {
	if a.cfg.Client.Key == "" {
		return 0, errNoKey
	}
	sent := a.cfg.Now()
	look := a.client.LookAtList(ctx, "GET /v1/products")
	if look.At.IsZero() {
		return 0, errors.New("Stripe does not tell its time")
	}
	return doctor.Ahead(sent, a.cfg.Now(), look.At), nil
}

var errNoKey = errors.New("STRIPE_API_KEY is not set")

func (a *Account) lookAtKey(ctx context.Context, r *doctor.Recorder) error {
	if a.cfg.Client.Key == "" {
		return errNoKey
	}
	mode, err := stripeapi.KeyModeOf(a.cfg.Client.Key)
	if err != nil {
		r.Foundf(doctor.StripeKey, "", "%v", err)
		return errors.New("the key cannot be one of Stripe's")
	}
	look := a.client.LookAtList(ctx, "GET /v1/products")
	switch {
	case !look.Answered:
		r.Foundf(doctor.StripeReachable, "", "Stripe's API does not answer: %v", look.Failure)
		return errors.New("Stripe does not answer")
	case look.Failure != nil && look.Failure.Status == http.StatusUnauthorized:
		r.Foundf(doctor.StripeKey, "", "Stripe refuses the key: %v", look.Failure)
	case look.Failure != nil && !look.IsForbidden():
		r.NotLooked(look.Failure.Error(), doctor.StripeKey)
	}
	r.Sawf(doctor.StripeKey, "a key of %s mode", mode)
	switch {
	case look.Version == "":
		r.NotLooked("the answer does not name its API version", doctor.StripeVersion)
	case look.Version != stripeapi.PinnedVersion:
		r.Foundf(doctor.StripeVersion, "", "Stripe answers in API version %s, and %s was asked for", look.Version,
			stripeapi.PinnedVersion)
	}
	return nil
}

// lookAtRights makes a call for each right. The calls change nothing.
func (a *Account) lookAtRights(ctx context.Context, r *doctor.Recorder, wanted []right) error {
	var calls errgroup.Group
	for _, right := range wanted {
		calls.Go(func() error {
			look := a.client.LookAtList
			if right.endpoint[:4] == http.MethodPost {
				look = a.client.LookAtUpdate
			}
			switch seen := look(ctx, right.endpoint); {
			case seen.IsForbidden():
				r.Foundf(right.id, "", "the key may not %s: %v", right.permission, seen.Failure)
			case seen.Failure != nil:
				r.NotLooked(seen.Failure.Error(), right.id)
			}
			return nil
		})
	}
	return calls.Wait()
}

// modePatience is how long the record of the mode may take. NATS does not answer a user who may not read it.
const modePatience = 3 * time.Second

func (a *Account) lookAtMode(ctx context.Context, r *doctor.Recorder) error {
	if a.cfg.Client.Key == "" {
		return errNoKey
	}
	mode, err := stripeapi.KeyModeOf(a.cfg.Client.Key)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, modePatience)
	defer cancel()
	known, err := a.cfg.Mode(ctx)
	switch {
	case err != nil:
		return fmt.Errorf(
			"the mode that the mesh was set up in cannot be read: %w; use the credentials of push or pull "+
				"with --nats-user", err)
	case known == "":
		return errors.New("neither push nor pull has started, so the mesh has no mode yet")
	case known != string(mode):
		r.Foundf(doctor.StripeMode, "", "the key is of %s mode, and account %s of the mesh was set up in %s mode", mode,
			a.cfg.Account, known)
	default:
		r.Sawf(doctor.StripeMode, "%s", mode)
	}
	return nil
}

func (a *Account) lookAtWebhooks(ctx context.Context, r *doctor.Recorder) (best *stripeapi.Endpoint, err error) {
	all, err := a.platform.ListEndpoints(ctx)
	if stripeapi.IsForbidden(err) {
		err = fmt.Errorf("the key may not read webhook endpoints, which no service needs: %w", err)
		r.Settled(err.Error(), endpointChecks()...)
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	return JudgeWebhooks(r, WebhookNeeds{
		Account:        a.cfg.Account,
		Path:           a.cfg.WebhookPath,
		DefaultVersion: a.cfg.DefaultVersion,
	}, all), nil
}

// lookAtSecret sends pull an event with each secret.
func (a *Account) lookAtSecret(ctx context.Context, r *doctor.Recorder, e *stripeapi.Endpoint) {
	switch {
	case e == nil:
		r.NotLooked("there is no endpoint", doctor.StripeWebhookSecret)
	case len(a.cfg.WebhookSecrets) == 0:
		r.NotLooked("STRIPE_WEBHOOK_SECRET is not set", doctor.StripeWebhookSecret)
	default:
		for i, secret := range a.cfg.WebhookSecrets {
			refused, err := a.cfg.SendProbe(ctx, e.URL, secret, e.Livemode)
			switch {
			case err != nil:
				r.NotLooked(err.Error(), doctor.StripeWebhookSecret)
			case refused != "":
				r.Foundf(doctor.StripeWebhookSecret, "",
					"pull at %s refuses an event that is signed with secret %d of STRIPE_WEBHOOK_SECRET: %s",
					redact.URL(e.URL), i+1, refused)
			}
		}
	}
}

func (a *Account) lookAtDeliveries(ctx context.Context, r *doctor.Recorder) error {
	d, err := a.client.LookAtDeliveries(ctx)
	if err != nil {
		return err
	}
	out := doctor.Deliveries{At: a.cfg.Now(), Read: d.Events, Latest: d.Latest}
	for _, e := range d.Undelivered {
		out.Waiting = append(out.Waiting, doctor.Delivery{Event: e.ID, Type: e.Type, Created: e.Created})
	}
	doctor.JudgeDeliveries(r, out, deliveryPatience)
	return nil
}
