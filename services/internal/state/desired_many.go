package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// LatestMany is Latest for many products: their reads are pipelined. The states are in the order of the ids, nil where
// CATALOG has none. All of them are kept in memory, so callers ask for pages.
func (s *DesiredStore) LatestMany(ctx context.Context, account string,
	products []string,
) ([]*catalogv1.ProductChange, error) {
	states, err := s.States(ctx, account, products)
	if err != nil {
		return nil, err
	}
	out := make([]*catalogv1.ProductChange, len(states))
	for i, state := range states {
		out[i] = state.Change
	}
	return out, nil
}

// DesiredState is the latest state of a product in CATALOG.
type DesiredState struct {
	// Change is nil if CATALOG has no state, or none that is authentic.
	Change *catalogv1.ProductChange
	// Current reports whether the state is signed as this client would sign it now. It is true if the client signs
	// nothing.
	Current bool
}

// States returns what LatestMany returns, and whether each state is signed with the current key.
func (s *DesiredStore) States(ctx context.Context, account string, products []string) ([]DesiredState, error) {
	tokens := make([]string, len(products))
	for i, id := range products {
		tokens[i] = topology.Token(id)
	}
	return s.StatesByToken(ctx, account, tokens)
}

// StatesByToken is States for the tokens of products (see topology.Token).
func (s *DesiredStore) StatesByToken(ctx context.Context, account string, tokens []string) ([]DesiredState, error) {
	subjects := make([]string, 0, 2*len(tokens))
	for _, token := range tokens {
		for _, lane := range topology.Lanes {
			subjects = append(subjects, "catalog."+account+"."+string(lane)+"."+token)
		}
	}
	out := make([]DesiredState, len(tokens))
	sequences := make([]uint64, len(tokens))
	err := s.eachLatest(ctx, subjects, func(i int, found storedState) error {
		if i /= len(topology.Lanes); out[i].Change == nil ||
			supersedes(found.change, found.sequence, out[i].Change, sequences[i]) {
			out[i], sequences[i] = DesiredState{found.change, found.current}, found.sequence
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the desired states of %d products: %w", len(tokens), err)
	}
	return out, nil
}

// supersedes reports whether state a replaces state b of the other lane: it has the higher version, or was stored later
// if the versions are equal.
func supersedes(a *catalogv1.ProductChange, aSeq uint64, b *catalogv1.ProductChange, bSeq uint64) bool {
	if a.GetVersion() != b.GetVersion() {
		return a.GetVersion() > b.GetVersion()
	}
	return aSeq > bSeq
}

// EachProduct calls do for pages of the tokens (see topology.Token) of all products that have a state in CATALOG,
// removed ones included. Each token comes once, in ascending order, whatever its lanes. Memory is bounded: the server
// lists 100,000 subjects per page. A product may be missed if its first state is stored meanwhile, or if its states are
// purged.
func (s *DesiredStore) EachProduct(ctx context.Context, account string, do func(tokens []string) error) error {
	live, bulk := s.tokensOf(account, topology.Live), s.tokensOf(account, topology.Bulk)
	for {
		if err := errors.Join(live.fill(ctx), bulk.fill(ctx)); err != nil {
			return fmt.Errorf("list the products of %s: %w", topology.StreamCatalog, err)
		}
		page := mergeTokens(live, bulk)
		if len(page) == 0 {
			return nil
		}
		if err := do(page); err != nil {
			return err
		}
	}
}

// mergeTokens removes from both lists the tokens that can be put in order without another page of either, and returns
// them.
func mergeTokens(a, b *tokenPages) []string {
	var out []string
	for (len(a.page) > 0 || a.done) && (len(b.page) > 0 || b.done) && len(a.page)+len(b.page) > 0 {
		switch {
		case len(b.page) == 0 || len(a.page) > 0 && a.page[0] < b.page[0]:
			out = append(out, a.pop())
		case len(a.page) == 0 || b.page[0] < a.page[0]:
			out = append(out, b.pop())
		default:
			out = append(out, a.pop())
			b.pop()
		}
	}
	return out
}

// tokenPages lists the tokens of one lane, or of the observed states, page by page.
type tokenPages struct {
	m              *mesh.Mesh
	stream, filter string
	// page has the rest of the current page, in ascending order.
	page []string
	// last is the token that was taken last.
	last   string
	offset int
	done   bool
}

func (s *DesiredStore) tokensOf(account string, lane topology.Lane) *tokenPages {
	return &tokenPages{
		m: s.m, stream: topology.StreamCatalog, filter: "catalog." + account + "." + string(lane) + ".*",
	}
}

func (p *tokenPages) pop() string {
	p.last = p.page[0]
	p.page = p.page[1:]
	return p.last
}

// fill requests the next page if the current one is used up.
func (p *tokenPages) fill(ctx context.Context) error {
	for len(p.page) == 0 && !p.done {
		subjects, total, err := subjectPage(ctx, p.m.Conn(), p.stream, p.filter, p.offset)
		if err != nil {
			return err
		}
		p.offset += len(subjects)
		p.done = len(subjects) == 0 || p.offset >= total
		for _, subject := range subjects {
			// The server orders by subject. A new subject shifts those behind it by one, so the last of a page may come
			// again.
			if token := topology.LastToken(subject); token > p.last {
				p.page = append(p.page, token)
			}
		}
		slices.Sort(p.page)
	}
	return nil
}

// subjectPage lists subjects of a stream from an offset on, and returns how many there are in total.
func subjectPage(ctx context.Context, nc *nats.Conn, stream, filter string,
	offset int,
) (subjects []string, total int, err error) {
	ask, err := json.Marshal(struct {
		SubjectsFilter string `json:"subjects_filter"`
		Offset         int    `json:"offset,omitempty"`
	}{filter, offset})
	if err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, subjectPageTimeout)
	defer cancel()
	msg, err := nc.RequestWithContext(ctx, "$JS.API.STREAM.INFO."+stream, ask)
	if err != nil {
		return nil, 0, err
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
		Total int                 `json:"total"`
		State struct {
			Subjects map[string]uint64 `json:"subjects"`
		} `json:"state"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return nil, 0, fmt.Errorf("the answer about stream %s cannot be read: %w", stream, err)
	}
	switch {
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeStreamNotFound:
		return nil, 0, jetstream.ErrStreamNotFound
	case answer.Error != nil:
		return nil, 0, answer.Error
	}
	subjects = make([]string, 0, len(answer.State.Subjects))
	for subject := range answer.State.Subjects {
		subjects = append(subjects, subject)
	}
	return subjects, answer.Total, nil
}

// subjectPageTimeout is how long the server may take to list a page of subjects. It sorts all of them for each page.
const subjectPageTimeout = 30 * time.Second

// CatalogState is the extent of the stream CATALOG. Its writer can detect from it that stored messages are gone: the
// stream was created after the writer last read it, ends before what the writer stored, or begins beyond it.
type CatalogState struct {
	Created time.Time
	// FirstSeq is the sequence of the oldest message that the stream still has. It is LastSeq+1 if the stream is empty.
	FirstSeq uint64
	// LastSeq is the sequence of the message that was stored last. A purge does not lower it.
	LastSeq  uint64
	Messages uint64
}

// CatalogState returns the state of CATALOG. The error wraps jetstream.ErrStreamNotFound if the stream does not exist.
func (s *Stores) CatalogState(ctx context.Context) (CatalogState, error) {
	stream, err := s.m.JetStream().Stream(ctx, topology.StreamCatalog)
	if err != nil {
		return CatalogState{}, fmt.Errorf("read the state of stream %s: %w", topology.StreamCatalog, err)
	}
	info := stream.CachedInfo()
	return CatalogState{
		Created:  info.Created,
		FirstSeq: info.State.FirstSeq,
		LastSeq:  info.State.LastSeq,
		Messages: info.State.Msgs,
	}, nil
}
