package state

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
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// ErrConflict means that another process has written the value since it was read.
var ErrConflict = errors.New("another process has changed it meanwhile")

// ErrTooLarge means that a value is larger than the server's limit for a message.
var ErrTooLarge = errors.New("too large for NATS, see max_payload of its configuration")

// ErrUndecodable means that a message of OBSERVED is damaged, or that this version cannot read it.
var ErrUndecodable = errors.New("not an observed state")

// ErrNoChange, returned by the function given to Update, leaves the stored value as it is.
var ErrNoChange = errors.New("no change")

// ObservedStore is the bucket OBSERVED: the state of each product in Stripe, as far as Driftless knows it. Safe for
// concurrent use, also by several processes.
type ObservedStore struct{ m *mesh.Mesh }

// Observed returns the store of the bucket OBSERVED.
func (s *Stores) Observed() *ObservedStore { return &ObservedStore{s.m} }

func (s *ObservedStore) bucket() mesh.Stream { return s.m.BucketStream(topology.BucketObserved) }

func observedSubject(account, product string) string {
	return "$KV." + topology.BucketObserved + "." + account + "." + topology.Token(product)
}

// decodeObserved decodes a message of the bucket. Its error is ErrUndecodable.
func decodeObserved(data []byte, sequence uint64) (*catalogv1.Observed, error) {
	o := &catalogv1.Observed{}
	if err := proto.Unmarshal(data, o); err != nil {
		return nil, fmt.Errorf("message %d of bucket %s is %w: %w", sequence, topology.BucketObserved, ErrUndecodable,
			err)
	}
	return o, nil
}

// Get returns a product's observed state and its revision; an empty state and 0 if there is none. If it cannot be
// decoded, the error is ErrUndecodable. In a cluster the answer may come from a replica that lags slightly. The
// compare-and-set of Update detects that.
func (s *ObservedStore) Get(ctx context.Context, account, product string) (*catalogv1.Observed, uint64, error) {
	empty := &catalogv1.Observed{Account: account, ProductId: product}
	// kv.Get hides the revision of a removed key. Without it the key could not be written again.
	msg, err := s.bucket().Last(ctx, observedSubject(account, product))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return empty, 0, nil
	case err != nil:
		return nil, 0, fmt.Errorf("read the observed state of product %s: %w", product, err)
	case msg.Header.Get("KV-Operation") != "":
		return empty, msg.Sequence, nil
	}
	o, err := decodeObserved(msg.Data, msg.Sequence)
	if err != nil {
		return nil, 0, fmt.Errorf("product %s: %w", product, err)
	}
	return o, msg.Sequence, nil
}

// Count returns how many products of an account have an observed state.
func (s *ObservedStore) Count(ctx context.Context, account string) (uint64, error) {
	// The bucket keeps one message of each key.
	n, err := s.bucket().Count(ctx, "$KV."+topology.BucketObserved+"."+account+".*")
	if err != nil {
		return 0, fmt.Errorf("count the observed states: %w", err)
	}
	return n, nil
}

// Update changes a product's observed state. change gets the latest state and edits it in place. It is called again if
// another process wrote in between, so it must have no other effects. If it returns ErrNoChange, nothing is written and
// Update returns no error. The returned state is the stored one. The trace of ctx is stored with it.
func (s *ObservedStore) Update(ctx context.Context, account, product string,
	change func(*catalogv1.Observed) error,
) (*catalogv1.Observed, error) {
	return s.update(ctx, account, product, nil, 0, change)
}

// UpdateFrom is Update for a caller that has read or written the state before. If the state still has that revision, it
// is not read again. The given state is not changed.
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
		// The delay grows with the attempts.
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(time.Duration(min(attempt, 20)) * time.Millisecond):
		}
	}
}

// UpdateAt is Update for a change that is valid only for the state of one revision, as returned by Get. It returns
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

// forgetMarkerTTL is how long the marker of a forgotten product stays, the minimum that JetStream accepts.
const forgetMarkerTTL = time.Second

// Forget removes the state under a Stripe id that is not the catalog's id. It stores a marker in its place, which the
// server removes after a second. It does not purge: the right to purge a subject is the right to purge the whole
// bucket.
func (s *ObservedStore) Forget(ctx context.Context, account, stripeID string) error {
	msg := &nats.Msg{Subject: observedSubject(account, stripeID), Header: nats.Header{}}
	msg.Header.Set("KV-Operation", "DEL")
	msg.Header.Set(jetstream.MsgTTLHeader, forgetMarkerTTL.String())
	switch _, err := s.bucket().Commit(ctx, msg); {
	case err == nil:
		return nil
	case hasErrorCode(err, codeNoTTL):
		return fmt.Errorf("forget the observed state of %s: %w: run `driftless topology apply`", stripeID, err)
	default:
		return fmt.Errorf("forget the observed state of %s: %w", stripeID, err)
	}
}

// codeNoTTL is JetStream's error for a message with a TTL in a stream that does not allow it.
const codeNoTTL jetstream.ErrorCode = 10166

func hasErrorCode(err error, code jetstream.ErrorCode) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == code
}

// Put stores a product's observed state if it still has the revision that Get or GetMany returned, and returns the new
// revision. Otherwise the error is ErrConflict. The trace of ctx is stored with the state.
func (s *ObservedStore) Put(ctx context.Context, o *catalogv1.Observed, revision uint64) (uint64, error) {
	product := o.GetProductId()
	data, err := proto.Marshal(o)
	if err != nil {
		return 0, fmt.Errorf("encode observed state of product %s: %w", product, err)
	}
	// kv.Update would not store the trace.
	msg := &nats.Msg{Subject: observedSubject(o.GetAccount(), product), Data: data, Header: nats.Header{}}
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(revision, 10))
	telemetry.InjectNATS(ctx, msg.Header)
	sequence, err := s.bucket().Commit(ctx, msg)
	switch {
	case err == nil:
		return sequence, nil
	case mesh.IsConflict(err):
		return 0, fmt.Errorf("product %s: %w", product, ErrConflict)
	case errors.Is(err, nats.ErrMaxPayload):
		return 0, fmt.Errorf("the observed state of product %s, with all %d prices it ever had, is %w (%d bytes)",
			product, len(o.GetPrices()), ErrTooLarge, len(data))
	default:
		return 0, fmt.Errorf("store observed state of product %s: %w", product, err)
	}
}
