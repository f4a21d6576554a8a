package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/proto/driftless/ingest/v1/ingestv1connect"
)

// waitConverged waits until nothing differs, for the given products or for all, and returns the plan. Everything that
// was committed before the call is then captured, and nothing is in flight. It does not wait for products that the
// guard holds, because they wait for a person: once nothing else differs, it returns their plan and a heldError. If ctx
// ends before, the error says what was left to do.
func waitConverged(ctx context.Context, control controlv1connect.ControlServiceClient,
	ingest ingestv1connect.IngestServiceClient, products []string,
) (*controlv1.PlanResponse, error) {
	if err := retryUnavailable(ctx, func() error {
		_, err := ingest.WaitCaptured(ctx, connect.NewRequest(&ingestv1.WaitCapturedRequest{}))
		return err
	}); err != nil {
		return nil, fmt.Errorf("ingestion has not captured everything: %w", err)
	}
	var plan *controlv1.PlanResponse
	for convergedAnswers := 0; ; {
		if err := retryUnavailable(ctx, func() error {
			resp, err := control.Plan(ctx, connect.NewRequest(&controlv1.PlanRequest{ProductIds: products}))
			if err == nil {
				plan = resp.Msg
			}
			return err
		}); err != nil {
			if plan != nil && ctx.Err() != nil {
				return nil, stillLeft(ctx, plan)
			}
			return nil, fmt.Errorf("could not read the plan: %w", err)
		}
		isDone := len(plan.GetProducts()) == 0 || onlyHeld(plan)
		if isDone && plan.GetInFlight() == 0 && unknownBecause(plan.GetEquality()) == "" {
			convergedAnswers++
		} else {
			convergedAnswers = 0
		}
		// Two answers in a row: in one of them a message may be between two consumers.
		if convergedAnswers == 2 {
			if len(plan.GetProducts()) > 0 {
				return plan, heldError{len(plan.GetProducts())}
			}
			return plan, nil
		}
		select {
		case <-ctx.Done():
			return nil, stillLeft(ctx, plan)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// stillLeft is the error of a wait that ended with ctx. It says what the latest plan has left to do.
func stillLeft(ctx context.Context, plan *controlv1.PlanResponse) error {
	return fmt.Errorf("%s: %w", describeRemaining(plan), context.Cause(ctx))
}

// heldError says that the guard holds all products that differ.
type heldError struct{ products int }

func (e heldError) Error() string {
	return countOf(e.products, "held product waits", "held products wait") +
		" for a person: see `driftless plan`, then run `driftless approve PRODUCT --reason TEXT`"
}

// describeRemaining describes what a plan has left to do.
func describeRemaining(plan *controlv1.PlanResponse) string {
	const maxNames = 5
	var names []string
	for i, p := range plan.GetProducts() {
		if i == maxNames {
			names = append(names, "...")
			break
		}
		names = append(names, p.GetProductId()+" "+stateName(p.GetState()))
	}
	which := ""
	if len(names) > 0 {
		which = " (" + strings.Join(names, ", ") + ")"
	}
	words := countOf(len(plan.GetProducts()), "product differs", "products differ") + which + ", " +
		countOf(plan.GetInFlight(), "message is", "messages are") + " in flight"
	if why := unknownBecause(plan.GetEquality()); why != "" {
		words = "unknown: " + why + "; " + words
	}
	return words
}

func stateName(s controlv1.ProductState) string {
	if s == controlv1.ProductState_PRODUCT_STATE_UNSPECIFIED {
		return "new"
	}
	return strings.ToLower(strings.TrimPrefix(s.String(), "PRODUCT_STATE_"))
}
