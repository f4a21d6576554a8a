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
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

const scope = "github.com/driftless-sync/driftless/services/pull"

// webhook takes one event. It answers 200 only once the event is stored: until then it is Stripe that keeps it.
func (p *puller) webhook(w http.ResponseWriter, r *http.Request) {
	body, ok := p.signed(w, r)
	if !ok {
		return
	}
	event, ok, err := stripeapi.DecodeEvent(body)
	switch {
	case err != nil:
		p.refuse(r.Context(), w, http.StatusBadRequest, "undecodable", err.Error())
		return
	case event.Livemode != p.livemode && event.Account != "":
		// Stripe sends the test events of connected accounts to the live endpoint too, and would send one that is
		// refused again for days (https://docs.stripe.com/connect/webhooks).
		countReceived(r.Context(), meshv1.Via_VIA_WEBHOOK, "ignored")
		return
	case event.Livemode != p.livemode:
		p.refuse(r.Context(), w, http.StatusBadRequest, "livemode", fmt.Sprintf(
			"the event has livemode %t, and the key in use %t: point this endpoint of Stripe's other mode elsewhere",
			event.Livemode, p.livemode))
		return
	case !ok, event.Account != p.stripeAccount:
		// Of another kind, or of a connected account: product ids are often the same in every account.
		p.ignored(r.Context(), event)
		return
	}
	if event.Thin && event.ProductID == "" {
		if event, err = p.withProduct(r.Context(), event); err != nil {
			p.logger.ErrorContext(
				r.Context(), "could not read which product an event is about; Stripe will send it again",
				"event", event.ID, "price", event.ObjectID, "error", err)
			p.refuse(r.Context(), w, http.StatusServiceUnavailable, "not_stored", "not stored; send it again")
			return
		}
		if event.ProductID == "" {
			// The price is gone already. A scan finds what that means.
			countReceived(r.Context(), meshv1.Via_VIA_WEBHOOK, "ignored")
			return
		}
	}
	err = p.take(r.Context(), event, meshv1.Via_VIA_WEBHOOK)
	switch {
	case errors.Is(err, errTooLarge):
		// It would be too large the next time as well.
		p.refuse(r.Context(), w, http.StatusRequestEntityTooLarge, "too_large", err.Error())
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

// ignored says what an event destination that sends something else should send.
func (p *puller) ignored(ctx context.Context, event stripeapi.Event) {
	countReceived(ctx, meshv1.Via_VIA_WEBHOOK, "ignored")
	switch {
	case event.Type == stripeapi.PingType:
		p.logger.InfoContext(ctx, "Stripe tried the event destination, and the signature is right", "event", event.ID)
	case event.Thin:
		p.logger.WarnContext(ctx, "a thin event that is about neither a product nor a price is ignored; "+
			"have the event destination send snapshot events of product.* and price.*",
			"event", event.ID, "type", event.Type, "api_version", stripeapi.PinnedVersion)
	}
}

func (p *puller) refuse(ctx context.Context, w http.ResponseWriter, status int, why, message string) {
	metrics.WebhooksRejected.Add(ctx, 1, metrics.RejectReason.Of(why))
	if status != http.StatusServiceUnavailable {
		p.logger.WarnContext(ctx, "webhook refused", "why", message)
	}
	http.Error(w, message, status)
}

// errTooLarge: no message of the mesh can hold the event.
var errTooLarge = errors.New("is too large to be stored")

// take stores an event on STRIPE, in the trace of the call that caused it if that was one of push's.
func (p *puller) take(ctx context.Context, event stripeapi.Event, via meshv1.Via) error {
	of := p.known(event.ProductID)
	change := &meshv1.StripeChange{
		Account: p.account, ProductId: of.product, EventId: event.ID, Type: event.Type, ObjectId: event.ObjectID,
		IdempotencyKey: event.IdempotencyKey, CreatedAt: timestamppb.New(time.Unix(event.Created, 0)),
		ReceivedAt: timestamppb.Now(), Via: via, Event: event.Raw,
	}
	if size := proto.Size(change); size > p.mesh.MaxBody() {
		return fmt.Errorf("event %s %w: it takes %d bytes, and NATS takes %d: raise max_payload of the NATS server",
			event.ID, errTooLarge, size, p.mesh.MaxBody())
	}
	observed, _, err := of.get(ctx)
	if err != nil {
		return err
	}
	if via == meshv1.Via_VIA_POLL && catalog.SeenEvent(observed, event.ID) {
		// Events of the last minute are read again and again.
		return nil
	}
	intent := catalog.FindIntent(observed, event.IdempotencyKey)
	ctx = telemetry.ContextWithTraceparent(ctx, intent.GetTraceparent())
	ctx = telemetry.ContextAbout(ctx, telemetry.About{
		Account: p.account,
		Product: of.product,
		Version: intent.GetVersion(),
	})
	ctx, span := startTake(ctx, via)
	defer span.End()
	span.SetAttributes(telemetry.StripeEventIDKey.String(event.ID), telemetry.StripeEventTypeKey.String(event.Type))
	err = p.mesh.Publish(ctx, topology.StripeSubject(p.account, of.product), change, mesh.WithID(event.ID))
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
	countReceived(ctx, via, "stored")
	if via == meshv1.Via_VIA_WEBHOOK {
		metrics.WebhookAge.Record(ctx, time.Since(time.Unix(event.Created, 0)).Seconds())
	}
	return nil
}

// startTake begins the span of an event's arrival.
func startTake(ctx context.Context, via meshv1.Via) (context.Context, trace.Span) {
	tracer := otel.Tracer(scope)
	if via != meshv1.Via_VIA_WEBHOOK {
		return tracer.Start(ctx, "read event") //nolint:spancheck // the caller ends it
	}
	return tracer.Start(ctx, "POST "+WebhookPath, //nolint:spancheck // as above
		trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			semconv.HTTPRequestMethodPost, semconv.HTTPRoute(WebhookPath), semconv.URLPath(WebhookPath)))
}
