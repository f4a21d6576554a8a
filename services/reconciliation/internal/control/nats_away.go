package control

import (
	"context"
	"errors"

	"github.com/driftless-sync/driftless/services/reconciliation/internal/view"
)

// natsHangsError means that NATS has not answered a request, and that the client has not lost the connection yet.
type natsHangsError struct{ cause error }

func (e *natsHangsError) Error() string {
	return "NATS does not answer (see docs/runbooks/DriftlessNatsDown.md): " + e.cause.Error()
}

func (e *natsHangsError) Unwrap() error { return e.cause }

// explainHang turns the error of a request to NATS that took too long into a natsHangsError. A caller who has stopped
// waiting proves nothing.
func explainHang(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return &natsHangsError{err}
	}
	return err
}

// readView reads the state of the services.
func (c control) readView(ctx context.Context) (*view.View, error) {
	v, err := c.View.Read(ctx)
	return v, explainHang(ctx, err)
}
