package push

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/nats-io/nuid"

	"github.com/driftless-sync/driftless/services/internal/budget"
	"github.com/driftless-sync/driftless/services/internal/heartbeat"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

const tracerName = "github.com/driftless-sync/driftless/services/push"

// pusher applies desired states. It is safe for concurrent use.
type pusher struct {
	account    string
	mesh       *mesh.Mesh
	stores     *state.Stores
	stripe     *stripeapi.Client
	logger     *slog.Logger
	traceLinks traceLinks

	planner *plan.Planner
	// takeLookupKeys lets push take keys from prices that are not in the catalog.
	takeLookupKeys bool
	guardRecord    guardRecord

	failures *failures
	// halted reports whether the account is halted, as far as this process knows.
	halted atomic.Bool

	// work has the products that this process works on.
	work heartbeat.Work
}

func newPusher(account string, m *mesh.Mesh, client *stripeapi.Client, logger *slog.Logger) *pusher {
	return &pusher{
		account: account, planner: &plan.Planner{Account: account, Holder: nuid.Next()}, mesh: m,
		stores: state.New(m), stripe: client, logger: logger,
		traceLinks: traceLinks{stores: state.New(m), account: account},
		failures:   newFailures(),
	}
}

// lock stops two messages of this process from syncing one product at once. It needs no call to the bucket.
func (p *pusher) lock(ctx context.Context, product string) (unlock func(), ok bool) {
	lane := topology.Live
	if budget.LaneOf(ctx) == budget.Bulk {
		lane = topology.Bulk
	}
	return p.work.Begin(product, string(lane))
}
