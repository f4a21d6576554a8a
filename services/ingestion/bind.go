package ingestion

import (
	"context"
	"errors"
	"fmt"
	"strings"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// bind looks at the schema and the topology, makes or changes the publication, and makes sure that the database is the
// one that was captured before. It is done before the first turn and whenever something changed.
func (in *ingester) bind(ctx context.Context) error {
	// Not while others wait for the lock: without NATS it takes long.
	if err := in.mesh.Ready(ctx); err != nil {
		return err
	}
	if err := in.mesh.Bind(ctx, topology.IngestionCommand); err != nil {
		return err
	}
	return alone(ctx, in.database(), func() error { return in.bindAlone(ctx) })
}

func (in *ingester) bindAlone(ctx context.Context) error {
	s, err := in.look(ctx)
	if err != nil {
		return err
	}
	changed, err := s.source.Publish(ctx, in.pool)
	if err != nil {
		return err
	}
	found, err := s.source.Find(ctx, in.pool)
	if err != nil {
		return err
	}
	if err := in.sameDatabase(ctx, found); err != nil {
		return err
	}
	// After the publication was changed: its own change is none.
	if s.shape, err = s.source.Shape(ctx, in.pool, s.reads); err != nil {
		return err
	}
	in.schema.Store(s)
	if changed {
		return in.want(ctx, "the publication did not have every change of the watched tables")
	}
	return nil
}

// sameDatabase refuses another Postgres server than the one that was captured before, unless the operator says that it
// has taken its place: a DATABASE_URL that leads elsewhere by mistake would archive the products of a shop.
func (in *ingester) sameDatabase(ctx context.Context, found wal.Prepared) error {
	origin := in.mesh.Record(topology.KeyOrigin, in.account)
	known, err := origin.GetString(ctx)
	switch {
	case err != nil:
		return err
	case known == found.SystemID:
		return nil
	case known == "":
		return origin.PutString(ctx, found.SystemID)
	case in.AcceptDatabase != found.SystemID:
		return fmt.Errorf(
			"CATALOG holds changes of another Postgres server (system %s; this one is %s): set DATABASE_URL to that server, or, if the catalog has moved here, set DRIFTLESS_ACCEPT_DATABASE=%s: then the tables are read as a whole, and what differs is published",
			known, found.SystemID, found.SystemID)
	}
	in.logger.WarnContext(
		ctx, "the catalog has moved to another Postgres server, as DRIFTLESS_ACCEPT_DATABASE says; reading the tables as a whole", "from", known, "to", found.SystemID)
	in.whole.otherHistory.Store(true)
	if err := in.want(ctx, "the catalog has moved to another Postgres server"); err != nil {
		return err
	}
	return origin.PutString(ctx, found.SystemID)
}

// begin begins a turn, once the slot is won.
func (in *ingester) begin(ctx context.Context, t *turn, prepared wal.Prepared) (err error) {
	if err := t.fence.Raise(ctx); err != nil {
		return err
	}
	if err := in.report.load(ctx); err != nil {
		return err
	}
	// It is not known before the cursor was read that nothing is wanted.
	in.whole.unsettle("")
	if in.report.forgive() {
		// Whether these commands were stored, and carried out, nobody knows any more.
		if err := in.want(ctx, "products that a change of shared rows concerned may not have been read"); err != nil {
			return err
		}
	}
	if err := in.wantIfSchemaChanged(ctx); err != nil {
		return err
	}
	if _, err := in.lookAtCatalog(ctx); err != nil {
		return err
	}
	if t.history, err = in.learn(ctx, prepared); err != nil {
		return err
	}
	t.reader.Expect(t.history.expected)
	in.progress.reach(position{version: t.history.version(prepared.Confirmed)})
	return nil
}

// wantIfSchemaChanged asks for the whole catalog to be read if the mapping or the schema is not that of the turn
// before: what a changed query says of products shows in no change of rows. It is asked for once the slot is won: one
// with the old mapping, whose turn it still was, would read the catalog by that.
func (in *ingester) wantIfSchemaChanged(ctx context.Context) error {
	s := in.tables()
	cursor := in.mesh.Record(topology.KeyMapping, in.account)
	known, err := cursor.GetString(ctx)
	if err != nil {
		return err
	}
	now := s.mapping.Fingerprint() + " " + s.shape.Fingerprint()
	if known == now {
		return nil
	}
	mapped, _, _ := strings.Cut(known, " ")
	switch {
	case known == "":
		// The first turn reads everything.
		err = in.want(ctx, "first start")
	case mapped != s.mapping.Fingerprint():
		in.logger.InfoContext(ctx, "the mapping has changed; reading the whole catalog again")
		err = in.want(ctx, "the mapping changed")
	default:
		in.logger.InfoContext(ctx, "the schema of the catalog has changed; reading the whole catalog again")
		err = in.want(ctx, "the schema of the catalog changed")
	}
	if err != nil {
		return err
	}
	return cursor.PutString(ctx, now)
}

// lookAtSchema ends the turn if the schema is not as it was when the turn began.
func (in *ingester) lookAtSchema(ctx context.Context, t *turn) error {
	shape, err := t.schema.source.Shape(ctx, in.pool, t.schema.reads)
	if err != nil {
		return err
	}
	if changed := shape.Changed(t.schema.shape); len(changed) > 0 {
		err := fmt.Errorf("%w: %s", errSchema, changedParts(changed))
		// Until the next turn has looked, nothing is known to be captured.
		in.whole.unsettle(changedParts(changed) + " changed")
		t.end(err)
		return err
	}
	return nil
}

// lookAtCatalog asks for the whole catalog to be read if CATALOG has lost what was stored there: it was purged,
// deleted, or put back to an earlier state.
func (in *ingester) lookAtCatalog(ctx context.Context) (mesh.CatalogState, error) {
	state, err := in.mesh.CatalogState(ctx)
	if err != nil {
		return state, err
	}
	in.report.mu.Lock()
	before := in.report.current
	lost := catalogLost(before, state)
	in.report.mu.Unlock()
	if lost == "" {
		return state, nil
	}
	in.logger.WarnContext(ctx, "CATALOG has lost states of products; reading the tables as a whole", "why", lost)
	if err := in.want(ctx, lost); err != nil {
		return state, err
	}
	// Once that is stored: what is stored from now on is compared with this.
	in.report.mu.Lock()
	before.CatalogCreated, before.CatalogLastSequence, before.CatalogMessages = nil, 0, 0
	in.report.mu.Unlock()
	return state, nil
}

// catalogLost says how CATALOG has less than it had; empty if it has not. Each message that is stored takes at most one
// earlier one away, so that what is stored never makes them fewer.
func catalogLost(before *meshv1.CaptureReport, now mesh.CatalogState) string {
	created := before.GetCatalogCreated()
	switch {
	case created == nil:
		return ""
	case !created.AsTime().Equal(now.Created):
		return "the stream CATALOG was made again"
	case now.LastSeq < before.GetCatalogLastSequence():
		return "the stream CATALOG was put back to an earlier state"
	case now.Messages < before.GetCatalogMessages():
		return "the stream CATALOG was purged"
	default:
		return ""
	}
}

// epoch is what is added to positions of the log to make versions.
func (in *ingester) epoch(ctx context.Context) (uint64, error) {
	recorded := &meshv1.CatalogHistory{}
	_, err := in.mesh.History(in.account).GetAt(ctx, recorded)
	return recorded.GetEpoch(), err
}

// errTurnOver: the turn in which something was begun has ended.
var errTurnOver = errors.New("the turn is over")
