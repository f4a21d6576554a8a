package ledger_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// history is a random history of one product in a ledger.
type history struct {
	*ledger.Ledger
	pool      *pgxpool.Pool
	connected *ledger.Ledger
	account   string
	now       time.Time
	sequence  uint64
	version   uint64
	// applied is the version in OBSERVED, which never decreases.
	applied uint64
	// decided reports whether the step was a decision by an operator.
	decided bool
	drift   map[int64]driftRow
	rule    catalog.Rule
}

// driftRow is a stored row of drift.
type driftRow struct {
	ID                                              int64
	State, Decided, Action, Catalog, Stripe, Detail string
	Settled                                         bool
}

// productRow is the stored row of the product.
type productRow struct {
	State      string
	IsDue      bool
	HasDrifted bool
	Differs    bool
	Repairs    int
	HasSince   bool
	HeldBy     []string
}

func (h *history) open(t *rapid.T) {
	rules := map[string]catalog.Rule{"description": h.rule}
	policy, err := catalog.NewPolicy(catalog.Repair, rules)
	require.NoError(t, err)
	h.Ledger = h.connected.With(ledger.Config{
		Account:  h.account,
		Policy:   policy,
		Listener: &listener{due: func(ledger.Commands) ledger.Due { return drawnDue(t) }},
		Now:      func() time.Time { return h.now },
	})
}

// drawnDue is what becomes of a command.
func drawnDue(t *rapid.T) ledger.Due {
	return rapid.SampledFrom([]ledger.Due{{}, {}, {Cannot: "too long"}, {Postpone: time.Minute}}).Draw(t, "command")
}

func drawnRule(t *rapid.T) catalog.Rule {
	return rapid.SampledFrom([]catalog.Rule{
		{}, {Owner: catalog.OwnerStripe}, {Owner: catalog.OwnerNewest}, {Action: catalog.Report},
	}).Draw(t, "rule")
}

var (
	drawnText = rapid.SampledFrom([]string{"A", "B"})
	// Mostly one field differs, so that histories about one field are long.
	drawnName = rapid.SampledFrom([]string{"Mug", "Mug", "Mug", "Mug", "Cup"})
)

func (h *history) steps(t *rapid.T) map[string]func() {
	apply := func(c ledger.Change) { require.NoError(t, h.Apply(context.Background(), c)) }
	return map[string]func(){
		"catalog changes": func() {
			h.sequence++
			h.version++
			apply(ledger.DesiredChange(&catalogv1.ProductChange{
				Account:   h.account,
				ProductId: product,
				Version:   h.version,
				Operation: catalogv1.Operation_OPERATION_UPSERT,
				Product: &catalogv1.Product{
					Id: product, Name: drawnName.Draw(t, "name"), Description: drawnText.Draw(t, "description"),
				},
			}, at(h.sequence), ledger.Entry{}))
		},
		"Stripe changes": func() {
			h.sequence++
			if rapid.IntRange(0, 3).Draw(t, "up to date") > 0 {
				h.applied = h.version
			}
			apply(ledger.ObservedChange(&catalogv1.Observed{
				Account:   h.account,
				ProductId: product,
				Version:   h.applied,
				Stale:     rapid.IntRange(0, 7).Draw(t, "stale") == 7,
				Hold:      h.drawnHold(t),
				Product: &catalogv1.Product{
					Id: product, Name: drawnName.Draw(t, "name"), Description: drawnText.Draw(t, "description"),
					Active: proto.Bool(true),
				},
			}, at(h.sequence)))
		},
		"time passes": func() {
			h.now = h.now.Add(rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour}).Draw(t, "time"))
		},
		"search": func() {
			confirmed := rapid.Bool().Draw(t, "confirmed")
			_, err := h.FindDrift(context.Background(), time.Minute, math.MaxUint64,
				func(context.Context, string) (bool, error) { return confirmed, nil })
			require.NoError(t, err)
		},
		"decision": func() {
			h.decided = true
			keep := rapid.SampledFrom([]ledger.Side{"", ledger.CatalogSide, ledger.StripeSide}).Draw(t, "keep")
			fields := rapid.SampledFrom([][]string{nil, {"description"}, {"name"}}).Draw(t, "fields")
			_, err := h.Decide(context.Background(), product, fields, ledger.Entry{}, ledger.Decision{Keep: keep}, nil)
			require.NoError(t, err)
		},
		"dead letter": func() {
			h.sequence++
			apply(ledger.DeadLetterChange(&meshv1.DeadLetter{
				Id:        fmt.Sprintf("%s:%d", h.account, h.sequence),
				Service:   rapid.SampledFrom([]string{"push", "ingestion"}).Draw(t, "service"),
				Account:   h.account,
				ProductId: product,
				Version:   rapid.Uint64Range(0, h.version).Draw(t, "letter"),
				Reason:    rapid.SampledFrom([]string{topology.ReasonWriteBackFailed, "refused"}).Draw(t, "reason"),
				Message:   "it failed",
				LastAt:    timestamppb.New(h.now),
			}, ledger.Entry{}))
		},
		"restart with another policy": func() {
			h.rule = drawnRule(t)
			h.open(t)
		},
	}
}

// drawnHold is mostly none. The guard holds the latest version or an earlier one, with or without an approval.
func (h *history) drawnHold(t *rapid.T) *catalogv1.Hold {
	if rapid.IntRange(0, 2).Draw(t, "held") < 2 {
		return nil
	}
	return &catalogv1.Hold{
		Version:  rapid.Uint64Range(max(h.version, 1)-1, h.version).Draw(t, "held version"),
		Since:    timestamppb.New(h.now),
		Findings: []*catalogv1.Finding{{Rule: "amount_change"}},
		Approved: rapid.IntRange(0, 3).Draw(t, "approved") == 3,
	}
}

func (h *history) rows(t *rapid.T) map[int64]driftRow {
	rows, err := h.pool.Query(context.Background(),
		`SELECT id, state, decided, action, catalog_value, stripe_value, detail, settled_at IS NOT NULL
		FROM driftless_ledger.drift WHERE account = $1`, h.account)
	require.NoError(t, err)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[driftRow])
	require.NoError(t, err)
	out := map[int64]driftRow{}
	for _, row := range all {
		out[row.ID] = row
	}
	return out
}

// checkDrift compares the stored drift with that before the step.
func (h *history) checkDrift(t *rapid.T) {
	now := h.rows(t)
	for id, before := range h.drift {
		after, exists := now[id]
		require.True(t, exists)
		switch {
		case before.Settled:
			require.Equal(t, before, after, "settled drift does not change")
			continue
		case after.Settled:
			continue
		}
		moved := before.Catalog != after.Catalog || before.Stripe != after.Stripe
		if before.State == "ignored" && after.State != "ignored" {
			require.True(t, moved || h.decided, "ignored drift comes back only if a value changed: %+v", after)
		}
		if before.Decided != "" && after.Decided != before.Decided && !h.decided {
			require.Equal(t, "waiting", after.State, "a decision holds until it cannot be carried out")
		}
		require.Equal(t, after.State == "waiting", after.Detail != "", "%+v", after)
	}
	h.drift = now
}

// checkProduct checks that everything that has to be done is going to be done.
func (h *history) checkProduct(t *rapid.T) {
	rows, err := h.pool.Query(context.Background(),
		`SELECT state, repair_at IS NOT NULL, drifted_at IS NOT NULL, unsettled,
		repairs, differs_since IS NOT NULL, held_by FROM driftless_ledger.product WHERE account = $1`, h.account)
	require.NoError(t, err)
	p, err := pgx.CollectOneRow(rows, pgx.RowToStructByPos[productRow])
	if err != nil {
		return // there is none yet
	}
	require.Equal(t, p.State == "held", len(p.HeldBy) > 0)
	var open, active, ignored int
	for _, d := range h.drift {
		if d.Settled {
			continue
		}
		open++
		switch {
		case d.State == "ignored":
			ignored++
		case (d.State == "found" || d.State == "repairing") && (d.Action != "report" || d.Decided != ""):
			active++
		}
	}
	switch p.State {
	case "drifted":
		require.True(t, active == 0 || p.IsDue, "%d active differences are never due", active)
		require.True(t, p.Differs)
		require.Positive(t, open)
	case "in_sync":
		require.True(t, !p.Differs || open > 0 && ignored == open, "%d of %d differences are ignored", ignored, open)
		fallthrough
	case "pending":
		require.True(t, p.State == "in_sync" || p.Differs && p.HasSince, "it becomes drift some time")
		require.False(t, p.HasDrifted)
		require.Zero(t, p.Repairs)
	case "held":
		require.True(t, p.HasSince)
		require.False(t, p.IsDue || p.HasDrifted, "nothing about a held product is drift")
		require.Zero(t, p.Repairs)
		require.Equal(t, []string{"amount_change"}, p.HeldBy)
	case "dead":
		require.False(t, p.IsDue)
	}
}

// checkListed checks that the rows for lists say what the other tables do.
func (h *history) checkListed(t *rapid.T) {
	var wrong int
	require.NoError(t, h.pool.QueryRow(context.Background(), `SELECT
		(SELECT count(*) FROM driftless_ledger.product p LEFT JOIN driftless_ledger.listing l USING (account, product_id)
			LEFT JOIN driftless_ledger.listed_product k
				ON k.account = p.account COLLATE "C" AND k.product_id = p.product_id COLLATE "C"
			WHERE p.account = $1 AND (l.name_key, l.state, l.kind, l.differs_since, l.changed_at, l.drift_kinds, l.causes,
				l.dead_reasons, l.held_by, l.no_active_price) IS DISTINCT FROM (k.name_key, k.state, k.kind,
				k.differs_since, k.changed_at, k.drift_kinds, k.causes, k.dead_reasons, k.held_by, k.no_active_price))
		+ (SELECT count(*) FROM driftless_ledger.text_lines l LEFT JOIN driftless_ledger.product_text k
			ON k.account = l.account COLLATE "C" AND k.product_id = l.product_id COLLATE "C"
			WHERE l.account = $1 AND k.lines IS DISTINCT FROM l.lines)`, h.account).Scan(&wrong))
	require.Zero(t, wrong)
}

func TestDrift_KeepsItsPromisesInAnyHistory(t *testing.T) {
	t.Parallel()
	url := database(t)
	connected := open(t, t.Context(), url, "connected")
	defer connected.Close()
	pool := localtest.Pool(t, url)
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		h := &history{pool: pool, connected: connected, now: noon, rule: drawnRule(t)}
		h.account = fmt.Sprintf("account%d", runs)
		h.open(t)
		names := []string{
			"catalog changes", "Stripe changes", "Stripe changes", "time passes", "search", "search", "decision",
			"dead letter", "restart with another policy",
		}
		steps := h.steps(t)
		steps["catalog changes"]()
		steps["Stripe changes"]()
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			h.decided = false
			steps[rapid.SampledFrom(names).Draw(t, "step")]()
			h.checkDrift(t)
			h.checkProduct(t)
			h.checkListed(t)
		}
	})
}
