package ingestion

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// isRefused reports whether a violated check makes its product a dead letter.
func isRefused(violated []mapping.Violated) bool {
	return slices.ContainsFunc(violated, refuses)
}

func refuses(v mapping.Violated) bool { return v.Check.Refuses() }

// checkFailedLetter returns the dead letter for a product that a check refuses. Its payload has all violations.
func (in *ingester) checkFailedLetter(change *catalogv1.ProductChange, violated []mapping.Violated) *meshv1.DeadLetter {
	var steps, messages []string
	for _, v := range violated {
		if refuses(v) {
			steps = append(steps, "check "+v.Check.Name)
			messages = append(messages, "check "+v.Check.Name+": "+v.Message)
		}
	}
	return &meshv1.DeadLetter{
		Service:   topology.Ingestion,
		Account:   in.account,
		ProductId: change.GetProductId(),
		Version:   change.GetVersion(),
		Reason:    topology.ReasonCheckFailed,
		Step:      strings.Join(steps, ", "),
		Attempts:  1,
		Payload:   letterPayload(change),
		Message: fmt.Sprintf("product %s is refused by catalog.checks: %s; correct the catalog, or the check",
			change.GetProductId(), strings.Join(messages, "; ")),
	}
}

// readProducts reads products for a comparison, with the violations of the checks.
func (in *ingester) readProducts(ctx context.Context, m *mapping.Mapping, ids []string) (mapping.Reading, error) {
	reading, err := m.Read(ctx, ids)
	if err != nil {
		return reading, err
	}
	return reading, in.applyChecks(ctx, reading)
}

// applyChecks reports the failures of checks in a reading, and keeps what is known of the products for which one
// failed: a check that cannot run must not release a product that it has found, as long as the product is the same. A
// product that has changed passes the check.
func (in *ingester) applyChecks(ctx context.Context, reading mapping.Reading) error {
	if len(reading.CheckFailures) == 0 && len(reading.Checked) == 0 {
		return nil
	}
	in.checks.note(ctx, reading)
	var ids []string
	for id, state := range reading.States {
		if len(state.Unchecked) > 0 && state.Product != nil {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	latest, err := in.stores.Desired().LatestMany(ctx, in.account, ids)
	if err != nil {
		return fmt.Errorf("read what a check found before: %w", err)
	}
	letters, err := in.mesh.OpenLetters(ctx, topology.Ingestion, in.account, ids)
	if err != nil {
		return fmt.Errorf("read what a check found before: %w", err)
	}
	for i, id := range ids {
		known := latest[i]
		if letter := letters[i]; letter.GetReason() == topology.ReasonCheckFailed {
			known = &catalogv1.ProductChange{}
			if proto.Unmarshal(letter.GetPayload(), known) != nil {
				continue
			}
		}
		reading.States[id] = in.keepViolations(reading.States[id], known)
	}
	return nil
}

// keepViolations adds the violations that an equal state of the product had of the checks that failed.
func (in *ingester) keepViolations(state mapping.State, known *catalogv1.ProductChange) mapping.State {
	if known.GetProduct() == nil || !equalProducts(known.GetProduct(), state.Product) {
		return state
	}
	position := map[string]int{}
	for i, c := range in.queries.Checks {
		position[c.Name] = i
	}
	for _, v := range known.GetViolations() {
		if !slices.Contains(state.Unchecked, v.GetCheck()) {
			continue
		}
		check := in.queries.Checks[position[v.GetCheck()]]
		state.Violated = append(state.Violated, mapping.Violated{Check: check, Message: v.GetMessage()})
	}
	slices.SortStableFunc(state.Violated, func(a, b mapping.Violated) int {
		return cmp.Compare(position[a.Check.Name], position[b.Check.Name])
	})
	return state
}

// finishChecks ends the part of a complete comparison that is about the checks: it reports rows without a product, and
// forgets failures that the comparison did not meet again.
func (in *ingester) finishChecks(ctx context.Context, m *mapping.Mapping, begun time.Time) error {
	if len(in.queries.Checks) == 0 {
		return nil
	}
	strays, err := m.Strays(ctx)
	if err != nil {
		return err
	}
	in.checks.noteComparison(ctx, strays, begun)
	return nil
}

// checkNames returns the names of checks.
func checkNames(checks []config.ProductCheck) []string {
	out := make([]string, len(checks))
	for i, c := range checks {
		out[i] = c.Name
	}
	return out
}
