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

// Bounds of the bodies of webhooks. Anyone can send one, and the signature covers the whole body, so the body must be
// read before it can be verified.
const (
	// maxEventBytes is the maximum size of an event in bytes. Stripe's events about products and prices have a few
	// kilobytes. The largest that a catalog in any script can cause has about 400 KB: a description of 40,000
	// characters and 50 metadata keys, both before and after the change.
	maxEventBytes = 512 << 10
	// smallEventBytes is a size in bytes that nearly every event fits.
	smallEventBytes = 16 << 10
	// maxBodies is how many bodies are read at once. Beyond smallEventBytes each, they may have maxBodiesBytes
	// together. Stripe sends a refused event again.
	maxBodies      = 256
	maxBodiesBytes = 16 << 20
	// bodyTimeout is how long Stripe may take to send a body.
	bodyTimeout = 10 * time.Second
)

func newBodies() *httpserver.Bodies {
	return httpserver.NewBodies(httpserver.Bounds{
		Max:   maxEventBytes,
		Small: smallEventBytes,
		Count: maxBodies,
		Large: maxBodiesBytes,
	})
}

// readSigned returns the body of a webhook if Stripe signed it. Otherwise it answers the request. It does not wait for
// the body if the headers justify a refusal.
func (p *puller) readSigned(w http.ResponseWriter, r *http.Request) (body []byte, ok bool) {
	header := r.Header.Get("Stripe-Signature")
	if err := p.checkHeader(header, time.Now()); err != nil {
		closeUnread(w)
		p.refuse(r.Context(), w, http.StatusBadRequest, "signature", err.Error())
		return nil, false
	}
	release, err := p.bodies.Bound(r)
	if err != nil {
		p.refuseBusy(w, r)
		return nil, false
	}
	defer release()
	httpserver.SetBodyDeadline(w, r, bodyTimeout)
	body, err = p.bodies.ReadBody(r)
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case errors.Is(err, httpserver.ErrBusy):
		p.refuseBusy(w, r)
		return nil, false
	case tooLarge:
		closeUnread(w)
		p.refuse(r.Context(), w, http.StatusRequestEntityTooLarge, "too_large",
			fmt.Sprintf("an event may have at most %d bytes", maxEventBytes))
		return nil, false
	case err != nil:
		closeUnread(w)
		p.refuse(r.Context(), w, http.StatusBadRequest, "unreadable",
			fmt.Sprintf("the body could not be read within %s", bodyTimeout))
		return nil, false
	}
	if err := p.verifySignature(body, header); err != nil {
		p.refuse(r.Context(), w, http.StatusBadRequest, "signature", err.Error())
		return nil, false
	}
	return body, true
}

// closeUnread makes the server answer before the body has arrived, and close the connection. Otherwise the server would
// first read the rest of the body.
func closeUnread(w http.ResponseWriter) { w.Header().Set("Connection", "close") }

func (p *puller) refuseBusy(w http.ResponseWriter, r *http.Request) {
	closeUnread(w)
	w.Header().Set("Retry-After", "1")
	p.refuse(r.Context(), w, http.StatusServiceUnavailable, "busy", "too many webhooks at once; send it again")
}

// checkHeader returns what is wrong with a signature header, whatever the body. The header is missing, is not in
// Stripe's form (t=<seconds>,v1=<hex>), or is older than Stripe's libraries accept.
func (p *puller) checkHeader(header string, now time.Time) error {
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

// verifySignature checks the signature over the raw body against every secret.
func (p *puller) verifySignature(body []byte, header string) error {
	err := webhook.ErrNoValidSignature
	for _, secret := range p.secrets {
		if err = webhook.ValidatePayload(body, header, secret); err == nil {
			return nil
		}
	}
	return fmt.Errorf("Stripe-Signature: %w", err)
}
