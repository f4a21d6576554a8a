package state

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/signing"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// storedState is a desired state in CATALOG.
type storedState struct {
	change   *catalogv1.ProductChange
	sequence uint64
	// current reports whether it is signed with the key that this client signs with. It is true if the client signs
	// nothing.
	current bool
}

// eachLatest calls do with the latest state on each subject that has one, in any order. Where signatures are checked,
// that is the authentic state with the highest version: the message stored last may be an old one that was published
// again.
//
// JetStream cannot be asked for the highest version. But a signature contains the sequence that the stream had reached,
// and every later state is stored behind it. So the messages from there on are read, which usually is one.
func (s *DesiredStore) eachLatest(
	ctx context.Context, subjects []string, do func(i int, found storedState) error,
) error {
	if s.m.Signatures() == mesh.Checked {
		last := map[int]verified{}
		from := func(i int, msg *jetstream.RawStreamMsg) uint64 {
			var start uint64
			last[i], start = s.historyStart(subjects[i], msg)
			return start
		}
		return s.catalog().EachHistory(ctx, subjects, from, func(i int, kept []*jetstream.RawStreamMsg) error {
			found, err := s.highestAuthentic(ctx, subjects[i], kept, last[i])
			delete(last, i)
			if err != nil || found.change == nil {
				return err
			}
			return do(i, found)
		})
	}
	return s.catalog().EachLast(ctx, subjects, func(i int, msg *jetstream.RawStreamMsg) error {
		if msg == nil {
			return nil
		}
		if err := mesh.CheckRepublished(msg.Header); err != nil {
			s.m.CountRefusal(ctx, topology.StreamCatalog, subjects[i], err)
			msg, err = s.catalog().LastPublished(ctx, subjects[i])
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
		}
		change := &catalogv1.ProductChange{}
		if err := proto.Unmarshal(msg.Data, change); err != nil {
			return fmt.Errorf("the latest message of %s is not a product change: %w", subjects[i], err)
		}
		current := s.m.IsCurrent(subjects[i], msg, signing.Signature{})
		return do(i, storedState{change: change, sequence: msg.Sequence, current: current})
	})
}

// verified is a checked signature and the sequence of its message; 0 for none.
type verified struct {
	sequence  uint64
	signature signing.Signature
}

// historyStart returns the sequence from which the messages of a subject must be read, judged by its last message. That
// is 1 if the message is not authentic, or was published again long after it was signed: the stream may have been
// created again since.
func (s *DesiredStore) historyStart(subject string, msg *jetstream.RawStreamMsg) (last verified, start uint64) {
	signature, err := s.m.Authenticate(subject, msg)
	if err != nil || msg.Sequence == 0 {
		return verified{}, 1
	}
	last = verified{msg.Sequence, signature}
	if signature.After == 0 || signature.After >= msg.Sequence || !mesh.IsPrompt(msg, signature) {
		return last, 1
	}
	return last, signature.After + 1
}

// highestAuthentic returns the authentic state with the highest version among the messages of a subject. If several
// have it, the one stored last counts. Its change is nil if there is none.
func (s *DesiredStore) highestAuthentic(
	ctx context.Context, subject string, kept []*jetstream.RawStreamMsg, last verified,
) (storedState, error) {
	// The version header is signed, so the first message is usually the result.
	slices.Reverse(kept)
	slices.SortStableFunc(kept, func(a, b *jetstream.RawStreamMsg) int {
		return cmp.Compare(versionOf(b), versionOf(a))
	})
	for _, msg := range kept {
		signature := last.signature
		if msg.Sequence == 0 || msg.Sequence != last.sequence {
			var err error
			if signature, err = s.m.Authenticate(subject, msg); err != nil {
				s.m.CountRefusal(ctx, topology.StreamCatalog, subject, err)
				continue
			}
		}
		found := storedState{
			change:   &catalogv1.ProductChange{},
			sequence: msg.Sequence,
			current:  s.m.IsCurrent(subject, msg, signature),
		}
		if err := proto.Unmarshal(msg.Data, found.change); err != nil {
			return storedState{}, fmt.Errorf("a message of %s is not a product change: %w", subject, err)
		}
		return found, nil
	}
	return storedState{}, nil
}

// latestAuthentic returns the latest authentic state on a subject.
func (s *DesiredStore) latestAuthentic(ctx context.Context, subject string) (out storedState, err error) {
	err = s.eachLatest(ctx, []string{subject}, func(_ int, found storedState) error {
		out = found
		return nil
	})
	if err != nil {
		return storedState{}, fmt.Errorf("read the latest state on %s: %w", subject, err)
	}
	return out, nil
}

// lastLiveAuthentic returns the authentic state of the live lane that was stored last. If the last message is not
// authentic, or was published again, it reads all products and returns the state with the highest version.
func (s *DesiredStore) lastLiveAuthentic(ctx context.Context, account string) (*catalogv1.ProductChange, error) {
	msg, err := s.catalog().Last(ctx, "catalog."+account+"."+string(topology.Live)+".*")
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err == nil:
		if change := s.promptState(msg); change != nil {
			return change, nil
		}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrConnectionClosed):
		return nil, fmt.Errorf("read the last message of the live lane: %w", err)
	}
	// Continue after other errors, and where there seems to be no message: the headers of a forged message can look
	// like that.
	var last storedState
	pages := s.tokensOf(account, topology.Live)
	for {
		if err := pages.fill(ctx); err != nil {
			return nil, fmt.Errorf("list the products of %s: %w", topology.StreamCatalog, err)
		}
		if len(pages.page) == 0 {
			return last.change, nil
		}
		var subjects []string
		for len(pages.page) > 0 {
			subjects = append(subjects, "catalog."+account+"."+string(topology.Live)+"."+pages.pop())
		}
		err := s.eachLatest(ctx, subjects, func(_ int, found storedState) error {
			if last.change == nil || supersedes(found.change, found.sequence, last.change, last.sequence) {
				last = found
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read the last authentic change: %w", err)
		}
	}
}

// promptState returns the state in a message, nil unless it is authentic and was stored soon after it was signed.
func (s *DesiredStore) promptState(msg *jetstream.RawStreamMsg) *catalogv1.ProductChange {
	signature, err := s.m.Authenticate(msg.Subject, msg)
	if err != nil || !mesh.IsPrompt(msg, signature) {
		return nil
	}
	change := &catalogv1.ProductChange{}
	if err := proto.Unmarshal(msg.Data, change); err != nil {
		return nil
	}
	return change
}

// versionOf returns the version in the header of a message; 0 if it has none.
func versionOf(msg *jetstream.RawStreamMsg) uint64 {
	v, err := strconv.ParseUint(msg.Header.Get(mesh.VersionHeader), 10, 64)
	if err != nil {
		return 0
	}
	return v
}
