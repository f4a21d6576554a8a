package ingestion

import (
	"context"
	"errors"
	"fmt"
	"strings"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// bind checks the schema and the topology, and creates or changes the publication. It verifies that the database is the
// one that was captured before. It runs before the first turn and after each change of the schema.
func (in *ingester) bind(ctx context.Context) error {
	// NATS is checked before the lock is held: without NATS the check takes long, and others wait for the lock.
	if err := in.mesh.Ready(ctx); err != nil {
		return err
	}
	if err := in.mesh.Bind(ctx, topology.IngestionCommand); err != nil {
		return err
	}
	return withSetupLock(ctx, in.database(), func() error { return in.bindLocked(ctx) })
}

func (in *ingester) bindLocked(ctx context.Context) error {
	s, err := in.checkSchema(ctx)
	if err != nil {
		return err
	}
	changed, err := s.source.EnsurePublication(ctx, in.pool)
	if err != nil {
		return err
	}
	found, err := s.source.Find(ctx, in.pool)
	if err != nil {
		return err
	}
	if err := in.verifyDatabase(ctx, found); err != nil {
		return err
	}
	// The shape is read after the publication was changed, so that this change does not count as one.
	if s.shape, err = s.source.Shape(ctx, in.pool, s.reads); err != nil {
		return err
	}
	in.schema.Store(s)
	if changed {
		return in.requestSnapshot(ctx, "the publication did not have every change of the watched tables")
	}
	return nil
}

// verifyDatabase refuses another Postgres server than the one that was captured before, unless the operator accepts it.
// Otherwise a DATABASE_URL that points elsewhere by mistake would archive the products of a shop.
func (in *ingester) verifyDatabase(ctx context.Context, found wal.SlotState) error {
	origin := in.stores.Record(topology.KeyOrigin, in.account)
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
			"CATALOG has changes of another Postgres server (system %s; this one is %s): set DATABASE_URL to that "+
				"server. If the catalog has moved here, set DRIFTLESS_ACCEPT_DATABASE=%s; ingestion then compares "+
				"all tables and publishes the differences",
			known, found.SystemID, found.SystemID)
	}
	in.logger.WarnContext(
		ctx, "the catalog has moved to another Postgres server, as DRIFTLESS_ACCEPT_DATABASE says; comparing all tables", "from", known, "to", found.SystemID)
	in.snapshot.historyChanged.Store(true)
	if err := in.requestSnapshot(ctx, "the catalog has moved to another Postgres server"); err != nil {
		return err
	}
	return origin.PutString(ctx, found.SystemID)
}

// beginTurn begins a turn after the slot was won.
func (in *ingester) beginTurn(ctx context.Context, t *turn, slot wal.SlotState) (err error) {
	if err := t.fence.Raise(ctx); err != nil {
		return err
	}
	if err := in.report.load(ctx); err != nil {
		return err
	}
	// Before the record was read, a snapshot may be requested.
	in.snapshot.addRequest("")
	if in.report.clearOutstanding() {
		// It is not known whether these commands were stored or carried out.
		if err := in.requestSnapshot(ctx,
			"products that a change of shared rows concerned may not have been read"); err != nil {
			return err
		}
	}
	if err := in.requestSnapshotIfSchemaChanged(ctx); err != nil {
		return err
	}
	if _, err := in.verifyCatalog(ctx); err != nil {
		return err
	}
	if t.history, err = in.loadHistory(ctx, slot); err != nil {
		return err
	}
	t.reader.Expect(t.history.expected)
	in.captured.advance(position{version: t.history.version(slot.Confirmed)})
	return nil
}

// requestSnapshotIfSchemaChanged requests a snapshot if the mapping or the schema differs from the turn before. A
// changed query changes products without a change of rows. It runs after the slot was won: a replica with the old
// mapping that is still the leader would take the snapshot with that mapping.
func (in *ingester) requestSnapshotIfSchemaChanged(ctx context.Context) error {
	s := in.currentSchema()
	record := in.stores.Record(topology.KeyMapping, in.account)
	known, err := record.GetString(ctx)
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
		err = in.requestSnapshot(ctx, "first start")
	case mapped != s.mapping.Fingerprint():
		in.logger.InfoContext(ctx, "the mapping changed; reading the whole catalog again")
		err = in.requestSnapshot(ctx, "the mapping changed")
	default:
		in.logger.InfoContext(ctx, "the schema of the catalog changed; reading the whole catalog again")
		err = in.requestSnapshot(ctx, "the schema of the catalog changed")
	}
	if err != nil {
		return err
	}
	return record.PutString(ctx, now)
}

// verifySchema ends the turn if the schema has changed since the turn began.
func (in *ingester) verifySchema(ctx context.Context, t *turn) error {
	shape, err := t.schema.source.Shape(ctx, in.pool, t.schema.reads)
	if err != nil {
		return err
	}
	if changed := shape.Changed(t.schema.shape); len(changed) > 0 {
		err := fmt.Errorf("%w: %s", errSchema, changedParts(changed))
		// Nothing counts as captured until the next turn has checked the schema.
		in.snapshot.addRequest(changedParts(changed) + " changed")
		t.end(err)
		return err
	}
	return nil
}

// verifyCatalog requests a snapshot if CATALOG has lost messages: it was purged, deleted, or restored to an earlier
// state.
func (in *ingester) verifyCatalog(ctx context.Context) (state.CatalogState, error) {
	state, err := in.stores.CatalogState(ctx)
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
	in.logger.WarnContext(ctx, "CATALOG lost states of products; comparing all tables", "why", lost)
	if err := in.requestSnapshot(ctx, lost); err != nil {
		return state, err
	}
	// This comes after the request is stored. Later states of CATALOG are compared with the current one.
	in.report.mu.Lock()
	before.CatalogCreated, before.CatalogLastSequence, before.CatalogMessages = nil, 0, 0
	in.report.mu.Unlock()
	return state, nil
}

// catalogLost returns how CATALOG has lost messages, empty if it has not. Each stored message replaces at most one
// earlier message. So storing never lowers the number of messages.
func catalogLost(before *meshv1.CaptureReport, now state.CatalogState) string {
	created := before.GetCatalogCreated()
	switch {
	case created == nil:
		return ""
	case !created.AsTime().Equal(now.Created):
		return "the stream CATALOG was created again"
	case now.LastSeq < before.GetCatalogLastSequence():
		return "the stream CATALOG was restored to an earlier state"
	// A fence has a message of each of the latest turns, so later messages do not replace all earlier ones.
	case now.Messages < before.GetCatalogMessages(),
		before.GetCatalogLastSequence() > 0 && now.FirstSeq > before.GetCatalogLastSequence():
		return "the stream CATALOG was purged"
	default:
		return ""
	}
}

// epoch returns the number that is added to positions of the log to make versions.
func (in *ingester) epoch(ctx context.Context) (uint64, error) {
	recorded := &meshv1.CatalogHistory{}
	_, err := in.stores.History(in.account).GetAt(ctx, recorded)
	return recorded.GetEpoch(), err
}

// errTurnOver means that the turn in which the work began has ended.
var errTurnOver = errors.New("the turn is over")
