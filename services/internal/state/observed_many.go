package state

import (
	"context"
	"fmt"
	"iter"

	"github.com/nats-io/nats.go/jetstream"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// ObservedEntry is a product's observed state and its revision; 0 if there is none.
type ObservedEntry struct {
	Observed *catalogv1.Observed
	Revision uint64
	// Undecodable is an ErrUndecodable if the state cannot be decoded. Observed then has only the account and the
	// product's id, and no id if the product's token is a shortened one.
	Undecodable error
}

// GetMany is Get for many products: their reads are pipelined. The entries are in the order of the ids. One that cannot
// be decoded says so and does not fail the others.
func (s *ObservedStore) GetMany(ctx context.Context, account string, products []string) ([]ObservedEntry, error) {
	subjects := make([]string, len(products))
	for i, id := range products {
		subjects[i] = observedSubject(account, id)
	}
	return s.last(ctx, account, products, subjects)
}

// ByToken is GetMany for the tokens of products (see topology.Token). An entry without a state may lack its id.
func (s *ObservedStore) ByToken(ctx context.Context, account string, tokens []string) ([]ObservedEntry, error) {
	ids, subjects := make([]string, len(tokens)), make([]string, len(tokens))
	for i, token := range tokens {
		ids[i], subjects[i] = topology.ParseToken(token), topology.KeyObserved.Sub(token).Subject(account)
	}
	return s.last(ctx, account, ids, subjects)
}

func (s *ObservedStore) last(ctx context.Context, account string, products, subjects []string) (
	[]ObservedEntry, error,
) {
	out := make([]ObservedEntry, len(products))
	err := s.bucket().EachLast(ctx, subjects, func(i int, msg *jetstream.RawStreamMsg) error {
		out[i] = observedAnswer(account, products[i], msg)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the observed states of %d products: %w", len(products), err)
	}
	return out, nil
}

// EachToken calls do for pages of the tokens (see topology.Token) of all keys of the bucket, in ascending order. Memory
// is bounded: the server lists 100,000 keys per page.
func (s *ObservedStore) EachToken(ctx context.Context, account string, do func(tokens []string) error) error {
	pages := &tokenPages{
		m: s.m, stream: "KV_" + topology.BucketObserved, filter: topology.KeyObserved.Sub("*").Subject(account),
	}
	for {
		if err := pages.fill(ctx); err != nil {
			return fmt.Errorf("list the products of %s: %w", topology.BucketObserved, err)
		}
		if len(pages.page) == 0 {
			return nil
		}
		page := pages.page
		pages.last, pages.page = page[len(page)-1], nil
		if err := do(page); err != nil {
			return err
		}
	}
}

// observedAnswer decodes the latest message of a product; nil means that there is no state.
func observedAnswer(account, product string, msg *jetstream.RawStreamMsg) ObservedEntry {
	e := ObservedEntry{Observed: &catalogv1.Observed{Account: account, ProductId: product}}
	if msg == nil {
		return e
	}
	e.Revision = msg.Sequence
	if msg.Header.Get("KV-Operation") != "" {
		return e
	}
	if o, err := decodeObserved(msg.Data, msg.Sequence); err != nil {
		e.Undecodable = err
	} else {
		e.Observed = o
	}
	return e
}

// Revision returns the latest revision in the bucket. Any later write has a higher one.
func (s *ObservedStore) Revision(ctx context.Context) (uint64, error) {
	return s.m.LastSequence(ctx, "KV_"+topology.BucketObserved)
}

// Range yields the account's products whose latest revision is in [from, to], in the order of revisions, in constant
// memory. A product that is written meanwhile gets a revision beyond to and is skipped. An entry that cannot be decoded
// says so. The sequence ends after the first error.
func (s *ObservedStore) Range(ctx context.Context, account string, from, to uint64) iter.Seq2[ObservedEntry, error] {
	return func(yield func(ObservedEntry, error) bool) {
		if err := s.each(ctx, account, max(from, 1), to,
			func(e ObservedEntry) bool { return yield(e, nil) }); err != nil {
			yield(ObservedEntry{}, fmt.Errorf("read bucket %s: %w", topology.BucketObserved, err))
		}
	}
}

func (s *ObservedStore) each(ctx context.Context, account string, from, to uint64,
	yield func(ObservedEntry) bool,
) error {
	if from > to {
		return nil
	}
	filter := "$KV." + topology.BucketObserved + "." + account + ".*"
	return s.bucket().Each(ctx, filter, from, func(msg *jetstream.RawStreamMsg) bool {
		if msg.Sequence > to {
			return false
		}
		if msg.Header.Get("KV-Operation") != "" {
			return true
		}
		return yield(observedAnswer(account, topology.ParseToken(topology.LastToken(msg.Subject)), msg))
	})
}
