package pull

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v76/webhook"

	"github.com/driftless-sync/driftless/services/internal/httpserver"
)

// Bounds of the bodies of webhooks. Anybody may send them: the signature is over the whole body, so that it must be
// read first.
const (
	// maxEvent in bytes. Stripe's events about products and prices are a few kilobytes. The largest that a catalog in
	// any script can cause has about 400 KB: a description of 40,000 characters and metadata of 50 keys, both as they
	// are and as they were.
	maxEvent = 512 << 10
	// smallEvent is what nearly every event has room in.
	smallEvent = 16 << 10
	// maxBodies are read at the same time, and have together maxBodiesMemory beyond smallEvent each. Stripe sends again
	// what is refused beyond that.
	maxBodies       = 256
	maxBodiesMemory = 16 << 20
	// bodyTime is how long Stripe may take for a body.
	bodyTime = 10 * time.Second
)

func newBodies() *httpserver.Bodies {
	return httpserver.NewBodies(httpserver.Bounds{
		Max:   maxEvent,
		Small: smallEvent,
		Count: maxBodies,
		Large: maxBodiesMemory,
	})
}

// signed returns the body of a webhook if Stripe signed it. If not, it answers the request. A refusal that the
// headers justify does not wait for the body.
func (p *puller) signed(w http.ResponseWriter, r *http.Request) (body []byte, ok bool) {
	header := r.Header.Get("Stripe-Signature")
	if err := p.signable(header, time.Now()); err != nil {
		unread(w)
		p.refuse(r.Context(), w, http.StatusBadRequest, "signature", err.Error())
		return nil, false
	}
	release, err := p.bodies.Bound(r)
	if err != nil {
		p.busy(w, r)
		return nil, false
	}
	defer release()
	httpserver.SetBodyDeadline(w, r, bodyTime)
	body, err = p.bodies.ReadBody(r)
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case errors.Is(err, httpserver.ErrBusy):
		p.busy(w, r)
		return nil, false
	case tooLarge:
		unread(w)
		p.refuse(r.Context(), w, http.StatusRequestEntityTooLarge, "too_large",
			fmt.Sprintf("an event may have %d bytes", maxEvent))
		return nil, false
	case err != nil:
		unread(w)
		p.refuse(r.Context(), w, http.StatusBadRequest, "unreadable",
			fmt.Sprintf("the body could not be read within %s", bodyTime))
		return nil, false
	}
	if err := p.verify(body, header); err != nil {
		p.refuse(r.Context(), w, http.StatusBadRequest, "signature", err.Error())
		return nil, false
	}
	return body, true
}

// unread has the server answer before the body has come, and close the connection: else it would read what is left of
// it first.
func unread(w http.ResponseWriter) { w.Header().Set("Connection", "close") }

func (p *puller) busy(w http.ResponseWriter, r *http.Request) {
	unread(w)
	w.Header().Set("Retry-After", "1")
	p.refuse(r.Context(), w, http.StatusServiceUnavailable, "busy", "too many webhooks at once; send it again")
}

// signable reports what is wrong with a signature header whatever the body: it is missing, has not Stripe's form
// (t=<seconds>,v1=<hex>), or is older than Stripe's libraries take.
func (p *puller) signable(header string, now time.Time) error {
	switch {
	case len(p.secrets) == 0:
		return errors.New("no webhook secret is configured: set STRIPE_WEBHOOK_SECRET")
	case header == "":
		return fmt.Errorf("Stripe-Signature: %w", webhook.ErrNotSigned)
	}
	var at int64
	signature := false
	for part := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "t":
			var err error
			if at, err = strconv.ParseInt(value, 10, 64); err != nil {
				return fmt.Errorf("Stripe-Signature: %w", webhook.ErrInvalidHeader)
			}
		case "v1":
			_, err := hex.DecodeString(value)
			signature = signature || err == nil && len(value) == 64
		}
	}
	switch {
	case !signature:
		return fmt.Errorf("Stripe-Signature: %w", webhook.ErrNoValidSignature)
	case now.Sub(time.Unix(at, 0)) > webhook.DefaultTolerance:
		return fmt.Errorf("Stripe-Signature: %w", webhook.ErrTooOld)
	}
	return nil
}

// verify checks the signature over the raw body against every secret.
func (p *puller) verify(body []byte, header string) error {
	err := webhook.ErrNoValidSignature
	for _, secret := range p.secrets {
		if err = webhook.ValidatePayload(body, header, secret); err == nil {
			return nil
		}
	}
	return fmt.Errorf("Stripe-Signature: %w", err)
}
