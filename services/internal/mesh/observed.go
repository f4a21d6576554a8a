package mesh

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// ErrConflict is the error of UpdateAt when somebody else wrote in between.
var ErrConflict = errors.New("the observed state has changed meanwhile")

// ErrTooLarge is the error of a write of more than the server takes in a message.
var ErrTooLarge = errors.New("too large for NATS, see max_payload of its configuration")

// ErrNoChange, returned by the function given to Update, leaves the stored value as it is.
var ErrNoChange = errors.New("no change")

// ObservedStore is the bucket OBSERVED: what Stripe holds of each product. Its methods may be called concurrently,
// from any number of processes.
type ObservedStore struct{ m *Mesh }

// Observed gives access to the bucket OBSERVED.
func (m *Mesh) Observed() *ObservedStore { return &ObservedStore{m} }

func observedSubject(account, product string) string {
	return "$KV." + topology.BucketObserved + "." + account + "." + topology.Token(product)
}

// Get returns what is known of a product and the revision of that knowledge: an empty state and 0 if nothing is.
// In a cluster a replica may answer that lags by a moment; Update's compare-and-set does not.
func (s *ObservedStore) Get(ctx context.Context, account, product string) (*catalogv1.Observed, uint64, error) {
	stream, err := s.m.stream(ctx, "KV_"+topology.BucketObserved)
	if err != nil {
		return nil, 0, err
	}
	empty := &catalogv1.Observed{Account: account, ProductId: product}
	// Not kv.Get: it hides the revision of a removed key, without which the key could not be written again.
	msg, err := s.m.lastOf(ctx, stream, observedSubject(account, product))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return empty, 0, nil
	case err != nil:
		return nil, 0, fmt.Errorf("read what is known of product %s: %w", product, err)
	case msg.Header.Get("KV-Operation") != "":
		return empty, msg.Sequence, nil
	}
	o := &catalogv1.Observed{}
	if err := proto.Unmarshal(msg.Data, o); err != nil {
		return nil, 0,
			fmt.Errorf("message %d of bucket %s is no observed state: %w", msg.Sequence, topology.BucketObserved, err)
	}
	return o, msg.Sequence, nil
}

// Count is how many products of an account something is known of.
func (s *ObservedStore) Count(ctx context.Context, account string) (uint64, error) {
	// The bucket keeps one message of each key.
	n, err := s.m.count(ctx, "KV_"+topology.BucketObserved, "$KV."+topology.BucketObserved+"."+account+".*")
	if err != nil {
		return 0, fmt.Errorf("count what is known: %w", err)
	}
	return n, nil
}

// Update changes what is known of a product: change gets the newest state, edits it in place, and is called again
// when somebody else wrote in between, so it must not have other effects. ErrNoChange from it skips the write and
// is not an error of Update. The state returned is the one stored. The trace of ctx travels with the value.
func (s *ObservedStore) Update(ctx context.Context, account, product string,
	change func(*catalogv1.Observed) error,
) (*catalogv1.Observed, error) {
	return s.update(ctx, account, product, nil, 0, change)
}

// UpdateFrom is Update by somebody who has read, or written, the state before: if it still has that revision, it need
// not be read. The state given is not changed.
func (s *ObservedStore) UpdateFrom(ctx context.Context, known *catalogv1.Observed, revision uint64,
	change func(*catalogv1.Observed) error,
) (*catalogv1.Observed, error) {
	return s.update(ctx, known.GetAccount(), known.GetProductId(), proto.CloneOf(known), revision, change)
}

func (s *ObservedStore) update(ctx context.Context, account, product string, o *catalogv1.Observed, revision uint64,
	change func(*catalogv1.Observed) error,
) (*catalogv1.Observed, error) {
	for attempt := 0; ; attempt++ {
		if o == nil {
			var err error
			if o, revision, err = s.Get(ctx, account, product); err != nil {
				return nil, err
			}
		}
		if err := change(o); err != nil {
			if errors.Is(err, ErrNoChange) {
				return o, nil
			}
			return nil, err
		}
		_, err := s.Put(ctx, o, revision)
		if !errors.Is(err, ErrConflict) {
			return o, err
		}
		o = nil
		// The first few at once, then ever more politely.
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(time.Duration(min(attempt, 20)) * time.Millisecond):
		}
	}
}

// UpdateAt is Update for a change that holds only against the state of one revision, as returned by Get:
// ErrConflict if the state has changed since.
func (s *ObservedStore) UpdateAt(ctx context.Context, account, product string, revision uint64,
	change func(*catalogv1.Observed) error,
) (*catalogv1.Observed, error) {
	o, now, err := s.Get(ctx, account, product)
	switch {
	case err != nil:
		return nil, err
	case now != revision:
		return nil, fmt.Errorf("product %s: %w", product, ErrConflict)
	}
	if err := change(o); err != nil {
		if errors.Is(err, ErrNoChange) {
			return o, nil
		}
		return nil, err
	}
	_, err = s.Put(ctx, o, revision)
	return o, err
}

// forgottenFor is how long the marker of a forgotten product stays: the shortest that JetStream takes.
const forgottenFor = time.Second

// Forget removes what is known under an id of Stripe's that is not the catalog's. It stores a marker in its place,
// which the server removes after a second: then no trace is left. It does not purge: the right to purge a subject is
// the right to purge the whole bucket.
func (s *ObservedStore) Forget(ctx context.Context, account, stripeID string) error {
	msg := &nats.Msg{Subject: observedSubject(account, stripeID), Header: nats.Header{}}
	msg.Header.Set("KV-Operation", "DEL")
	msg.Header.Set(jetstream.MsgTTLHeader, forgottenFor.String())
	switch err := s.m.committer("KV_"+topology.BucketObserved).put(ctx, msg).err; {
	case err == nil:
		return nil
	case refusedWith(err, codeNoTTL):
		return fmt.Errorf("forget what is known of %s: %w: run `driftless topology apply`", stripeID, err)
	default:
		return fmt.Errorf("forget what is known of %s: %w", stripeID, err)
	}
}

// codeNoTTL is JetStream's error for a message that is to expire, in a stream that does not allow that.
const codeNoTTL jetstream.ErrorCode = 10166

func refusedWith(err error, code jetstream.ErrorCode) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == code
}

// Put stores what is known of a product if it still has the revision that Get or GetMany returned, else the error is
// ErrConflict. It returns the new revision. The trace of ctx travels with the value.
func (s *ObservedStore) Put(ctx context.Context, o *catalogv1.Observed, revision uint64) (uint64, error) {
	product := o.GetProductId()
	data, err := proto.Marshal(o)
	if err != nil {
		return 0, fmt.Errorf("encode observed state of product %s: %w", product, err)
	}
	// Not kv.Update: it would not carry the trace.
	msg := &nats.Msg{Subject: observedSubject(o.GetAccount(), product), Data: data, Header: nats.Header{}}
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(revision, 10))
	telemetry.InjectNATS(ctx, msg.Header)
	stored := s.m.committer("KV_"+topology.BucketObserved).put(ctx, msg)
	switch err := stored.err; {
	case err == nil:
		return stored.sequence, nil
	case isWrongSequence(err):
		return 0, fmt.Errorf("product %s: %w", product, ErrConflict)
	case errors.Is(err, nats.ErrMaxPayload):
		return 0, fmt.Errorf("what Stripe holds of product %s, with all %d prices it ever had, is %w (%d bytes)",
			product, len(o.GetPrices()), ErrTooLarge, len(data))
	default:
		return 0, fmt.Errorf("store observed state of product %s: %w", product, err)
	}
}

// isWrongSequence says whether JetStream refused a compare-and-set because the subject has moved on.
func isWrongSequence(err error) bool {
	return wrongSequence(err) || inFlight(err)
}
