package pull

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/otel"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

const tracerName = "github.com/driftless-sync/driftless/services/pull"

// webhook receives one event. It answers 200 only after the event is stored. Until then Stripe keeps it and sends it
// again.
func (p *puller) webhook(w http.ResponseWriter, r *http.Request) {
	body, ok := p.readSigned(w, r)
	if !ok {
		return
	}
	event, ok, err := stripeapi.DecodeEvent(body)
	switch {
	case err != nil:
		p.refuse(r.Context(), w, http.StatusBadRequest, "undecodable", err.Error())
		return
	case event.Livemode != p.livemode && event.Account != "":
		// Stripe sends the test events of connected accounts to the live endpoint too. It would send a refused one
		// again for days (https://docs.stripe.com/connect/webhooks).
		countReceived(r.Context(), meshv1.Via_VIA_WEBHOOK, "ignored")
		return
	case event.Livemode != p.livemode:
		p.refuse(r.Context(), w, http.StatusBadRequest, "livemode", fmt.Sprintf(
			"the event has livemode %t, but the key has livemode %t: remove this endpoint from Stripe's other mode",
			event.Livemode, p.livemode))
		return
	case !ok, event.Account != p.stripeAccount:
		// The event is of another kind, or of a connected account. Product ids are often the same in every account.
		p.logIgnored(r.Context(), event)
		return
	}
	if event.Thin && event.ProductID == "" {
		if event, err = p.withProduct(r.Context(), event); err != nil {
			p.logger.ErrorContext(
				r.Context(), "could not read the product of an event; Stripe will send it again",
				"event", event.ID, "price", event.ObjectID, "error", err)
			p.refuse(r.Context(), w, http.StatusServiceUnavailable, "not_stored", "not stored; send it again")
			return
		}
		if event.ProductID == "" {
			// The price no longer exists. A scan detects the effect.
			countReceived(r.Context(), meshv1.Via_VIA_WEBHOOK, "ignored")
			return
		}
	}
	err = p.storeEvent(r.Context(), event, meshv1.Via_VIA_WEBHOOK)
	switch {
	case errors.Is(err, errTooLarge):
		// It would be too large the next time as well.
		p.refuse(r.Context(), w, http.StatusRequestEntityTooLarge, "too_large",
			fmt.Sprintf("event %s: %v", event.ID, err))
	case err != nil:
		p.logger.ErrorContext(r.Context(), "could not store a webhook; Stripe will send it again", "event", event.ID,
			"error", err)
		p.refuse(r.Context(), w, http.StatusServiceUnavailable, "not_stored", "not stored; send it again")
	}
}

// withProduct reads the product of the price that a thin event names.
func (p *puller) withProduct(ctx context.Context, event stripeapi.Event) (stripeapi.Event, error) {
	product, err := p.stripe.ProductOf(budget.For(ctx, budget.Events), event.ObjectID)
	if err != nil || product == "" {
		return event, err
	}
	return event.WithProduct(product)
}

// logIgnored logs how to configure an event destination that sends other events.
func (p *puller) logIgnored(ctx context.Context, event stripeapi.Event) {
	countReceived(ctx, meshv1.Via_VIA_WEBHOOK, "ignored")
	switch {
	case event.Type == stripeapi.PingType:
		p.logger.InfoContext(ctx, "Stripe tested the event destination; the signature is valid", "event", event.ID)
	case event.Thin:
		p.logger.WarnContext(ctx, "ignored a thin event that is about neither a product nor a price; "+
			"configure the event destination to send snapshot events of product.* and price.*",
			"event", event.ID, "type", event.Type, "api_version", stripeapi.PinnedVersion)
	}
}

func (p *puller) refuse(ctx context.Context, w http.ResponseWriter, status int, why, message string) {
	metrics.WebhooksRejected.Add(ctx, 1, metrics.RejectReason.With(why))
	if status != http.StatusServiceUnavailable {
		p.logger.WarnContext(ctx, "webhook refused", "why", message)
	}
	http.Error(w, message, status)
}

// errTooLarge means that the event does not fit a message of the mesh.
var errTooLarge = errors.New("the event is too large to be stored")

// storeEvent stores an event on STRIPE. If one of push's calls caused the event, its trace continues.
func (p *puller) storeEvent(ctx context.Context, event stripeapi.Event, via meshv1.Via) error {
	ref := p.ref(event.ProductID)
	change := &meshv1.StripeChange{
		Account: p.account, ProductId: ref.product, EventId: event.ID, Type: event.Type, ObjectId: event.ObjectID,
		IdempotencyKey: event.IdempotencyKey, CreatedAt: timestamppb.New(time.Unix(event.Created, 0)),
		ReceivedAt: timestamppb.Now(), Via: via, Event: event.Raw,
	}
	if size := proto.Size(change); size > p.mesh.MaxBody() {
		return fmt.Errorf("%w: it has %d bytes, and NATS accepts %d: raise max_payload of the NATS server",
			errTooLarge, size, p.mesh.MaxBody())
	}
	observed, _, err := ref.get(ctx)
	// An event of a product whose state cannot be decoded is stored all the same: it must not stop the others.
	if err != nil && !errors.Is(err, state.ErrUndecodable) {
		return err
	}
	if via == meshv1.Via_VIA_POLL && catalog.SeenEvent(observed, event.ID) {
		// Every poll reads the events of the last minute again.
		return nil
	}
	intent := catalog.FindIntent(observed, event.IdempotencyKey)
	ctx = telemetry.ContextWithTraceparent(ctx, intent.GetTraceparent())
	ctx = telemetry.ContextAbout(ctx, telemetry.About{
		Account: p.account,
		Product: ref.product,
		Version: intent.GetVersion(),
	})
	ctx, span := startStoreSpan(ctx, via)
	defer span.End()
	span.SetAttributes(telemetry.StripeEventIDKey.String(event.ID), telemetry.StripeEventTypeKey.String(event.Type))
	isNew, err := p.mesh.PublishOnce(ctx, topology.StripeSubject(p.account, ref.product), change,
		mesh.WithID(event.ID))
	if via == meshv1.Via_VIA_WEBHOOK {
		status := http.StatusOK
		if err != nil {
			status = http.StatusServiceUnavailable
		}
		span.SetAttributes(semconv.HTTPResponseStatusCode(status))
	}
	if err != nil {
		telemetry.Fail(span, err)
		return err
	}
	if via == meshv1.Via_VIA_POLL && !isNew {
		// A poll has read the event again, or it has come by webhook.
		return nil
	}
	countReceived(ctx, via, "stored")
	p.received.Add(1)
	switch {
	case via == meshv1.Via_VIA_POLL && len(p.secrets) > 0:
		p.polledOnly.add(time.Now())
	case via == meshv1.Via_VIA_WEBHOOK:
		p.polledOnly.reset()
		p.webhookAt.Store(time.Now().UnixNano())
		metrics.WebhookAge.Record(ctx, time.Since(time.Unix(event.Created, 0)).Seconds())
	}
	return nil
}

// startStoreSpan starts the span of an event's arrival.
func startStoreSpan(ctx context.Context, via meshv1.Via) (context.Context, trace.Span) {
	tracer := otel.Tracer(tracerName)
	if via != meshv1.Via_VIA_WEBHOOK {
		return tracer.Start(ctx, "read event") //nolint:spancheck // the caller ends it
	}
	return tracer.Start(ctx, "POST "+WebhookPath, //nolint:spancheck // as above
		trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			semconv.HTTPRequestMethodPost, semconv.HTTPRoute(WebhookPath), semconv.URLPath(WebhookPath),
			// TLS ends at the ingress.
			semconv.URLScheme("http")))
}
