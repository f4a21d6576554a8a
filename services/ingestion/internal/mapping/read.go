package mapping

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// State is a product as the queries return it, or why it could not be read.
type State struct {
	// Product with its prices. It is nil if the products query does not return it, or if a query fails for it.
	Product *catalogv1.Product
	// ArchiveAfter is how long replaced prices of the product stay active. It is nil if the products query does not
	// say.
	ArchiveAfter *time.Duration
	// Faults of values that do not have the form of Stripe's fields. Product has the part that could be read.
	Faults []catalog.Violation
	// Failure is set if a query fails for this product.
	Failure *QueryFailure
	// Violated has the checks of the operator that the product violates, in the order of the configuration.
	Violated []Violated
	// Unchecked names the checks that failed for the product and that hold nothing then.
	Unchecked []string
}

// Overlap returns how long replaced prices of the product stay active, nil if they are archived at once. byDefault is
// for products whose query does not say it.
func (s State) Overlap(byDefault time.Duration) *durationpb.Duration {
	after := byDefault
	if s.ArchiveAfter != nil {
		after = *s.ArchiveAfter
	}
	if after <= 0 {
		return nil
	}
	return durationpb.New(after)
}

// Violations returns the faults, and the violations that validate finds in the other fields.
func (s State) Violations(validate func(*catalogv1.Product) []catalog.Violation) []catalog.Violation {
	out := slices.Clone(s.Faults)
	if s.Product == nil {
		return out
	}
	for _, v := range validate(s.Product) {
		if !slices.ContainsFunc(s.Faults,
			func(f catalog.Violation) bool { return strings.HasPrefix(f.Field, v.Field) }) {
			out = append(out, v)
		}
	}
	return out
}

// Reading is the result of Read.
type Reading struct {
	// States of the products, by their ids as the products query spells them.
	States map[string]State
	// Absent has requested ids that the products query does not return, as Postgres writes values of the id column's
	// type.
	Absent []string
	// NotIDs has requested values that the type of the id column cannot hold, so no product can have them.
	NotIDs []string
	// Spelled has the requested ids that the queries, or Postgres for absent ones, spell differently, with that
	// spelling.
	Spelled map[string]string
	// CheckFailures has the checks that failed, and Checked names those that ran for some of the products.
	CheckFailures []CheckFailure
	Checked       []string

	snapshots []Snapshot
}

// Saw reports whether every snapshot that was used saw a committed transaction. A batch that was split used several.
func (r Reading) Saw(xid uint32) bool {
	return len(r.snapshots) > 0 && !slices.ContainsFunc(r.snapshots, func(s Snapshot) bool { return !s.Saw(xid) })
}

// State returns the state of a requested id, in any spelling. It is the zero State if there is no such product.
func (r Reading) State(requested string) State { return r.States[r.Spelling(requested)] }

// Spelling returns a requested id as the queries spell it. It may differ from the spelling in a row, as in case or
// padding.
func (r Reading) Spelling(requested string) string {
	if spelled, ok := r.Spelled[requested]; ok {
		return spelled
	}
	return requested
}

// Read reads products by their ids, as the log or an operator spells them. It needs one round trip if no query fails
// and the ids are spelled as the query spells them. A product for which a query fails does not prevent reading the
// others. An error means that the queries or the database cannot be used at all.
func (m *Mapping) Read(ctx context.Context, ids []string) (Reading, error) {
	conn, err := m.pool.Acquire(ctx)
	if err != nil {
		return Reading{}, fmt.Errorf("read products: connect to the catalog database: %w", err)
	}
	defer conn.Release()
	return m.readWith(ctx, connection{Conn: conn.Conn()}, ids)
}

func (m *Mapping) readWith(ctx context.Context, conn connection, ids []string) (Reading, error) {
	s := newSession(m, conn)
	requested := unique(ids)
	if err := s.read(ctx, requested); err != nil {
		return Reading{}, err
	}
	if err := s.resolveSpellings(ctx, requested); err != nil {
		return Reading{}, err
	}
	return s.out, nil
}

// session is one call of Read.
type session struct {
	m    *Mapping
	conn connection
	out  Reading
	// unpriced has product ids that the prices query's column product cannot hold. They have no prices.
	unpriced map[string]bool
	// notIDs has the values of out.NotIDs.
	notIDs map[string]bool
}

func newSession(m *Mapping, conn connection) *session {
	return &session{
		m:        m,
		conn:     conn,
		unpriced: map[string]bool{},
		notIDs:   map[string]bool{},
		out:      Reading{States: map[string]State{}, Spelled: map[string]string{}},
	}
}

// resolveSpellings completes the result for requested ids that have no state in exactly their spelling.
func (s *session) resolveSpellings(ctx context.Context, requested []string) error {
	asked := make(map[string]bool, len(requested))
	for _, id := range requested {
		asked[id] = true
	}
	t := s.m.products.id
	var unmatched []string
	for _, id := range requested {
		_, found := s.out.States[id]
		switch {
		case found || s.notIDs[id]:
		case t.isCanonical(id):
			s.out.Absent = append(s.out.Absent, id)
		default:
			unmatched = append(unmatched, id)
		}
	}
	all := slices.Sorted(maps.Keys(s.out.States))
	extra := slices.DeleteFunc(slices.Clone(all), func(id string) bool { return asked[id] })
	if len(unmatched) == 0 && len(extra) == 0 {
		return nil
	}
	pairs, err := t.matches(ctx, s.conn, slices.Concat(unmatched, extra), all)
	if err != nil {
		return err
	}
	var again []string
	isUnmatched := make(map[string]bool, len(unmatched))
	for _, id := range unmatched {
		isUnmatched[id] = true
	}
	for _, p := range pairs {
		switch {
		case !isUnmatched[p.a]:
			if p.a != p.b {
				s.sameValue(p.a, p.b)
			}
		case s.out.Spelled[p.a] == "":
			s.out.Spelled[p.a] = p.b
			if !asked[p.b] && s.out.States[p.b].Failure == nil && !t.equals(s.m.prices.id) {
				again = append(again, p.b)
			}
		}
	}
	if err := s.absent(ctx, unmatched); err != nil {
		return err
	}
	// The prices were read by a spelling that another type reads as another value.
	if len(again) > 0 {
		return s.read(ctx, unique(again))
	}
	return nil
}

// absent records the ids that no state matches, in Postgres' spelling.
func (s *session) absent(ctx context.Context, unmatched []string) error {
	missing := slices.DeleteFunc(unmatched, func(id string) bool { return s.out.Spelled[id] != "" })
	if len(missing) == 0 {
		return nil
	}
	spelled, err := s.m.products.id.canonicalTexts(ctx, s.conn, missing)
	if err != nil {
		return err
	}
	for i, id := range missing {
		if spelled[i] != id {
			s.out.Spelled[id] = spelled[i]
		}
	}
	s.out.Absent = unique(append(s.out.Absent, spelled...))
	return nil
}

// sameValue marks two rows whose ids are different spellings of one value.
func (s *session) sameValue(a, b string) {
	for _, pair := range [][2]string{{a, b}, {b, a}} {
		state := s.out.States[pair[0]]
		if state.Failure != nil {
			continue
		}
		fault := catalog.Violation{Field: "id", Message: fmt.Sprintf(
			"the products query returns both %q and %q, which are the same value of type %s: "+
				"let it return one row for each product",
			catalog.Abridged(pair[0]), catalog.Abridged(pair[1]), s.m.IDType())}
		if !slices.Contains(state.Faults, fault) {
			state.Faults = append(state.Faults, fault)
		}
		s.out.States[pair[0]] = state
	}
}

// unique returns the texts without repetitions, in their order.
func unique(texts []string) []string {
	seen := make(map[string]bool, len(texts))
	out := make([]string, 0, len(texts))
	for _, t := range texts {
		if !seen[t] {
			seen[t] = true
			out = append(out, t)
		}
	}
	return out
}
