package state

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// DesiredStore reads the latest desired states from CATALOG. Safe for concurrent use.
type DesiredStore struct{ m *mesh.Mesh }

// Desired returns the store of the latest desired states.
func (s *Stores) Desired() *DesiredStore { return &DesiredStore{s.m} }

func (s *DesiredStore) catalog() mesh.Stream { return s.m.Stream(topology.StreamCatalog) }

// Latest returns the desired state of a product: the latest message of the lane with the higher version, or the one
// stored later if the versions are equal. It is nil if CATALOG has none.
func (s *DesiredStore) Latest(ctx context.Context, account, product string) (*catalogv1.ProductChange, error) {
	if s.m.Signatures() == mesh.Checked {
		states, err := s.LatestMany(ctx, account, []string{product})
		if err != nil {
			return nil, err
		}
		return states[0], nil
	}
	live, liveSeq, err := s.last(ctx, topology.CatalogSubject(account, topology.Live, product))
	if err != nil {
		return nil, err
	}
	bulk, bulkSeq, err := s.last(ctx, topology.CatalogSubject(account, topology.Bulk, product))
	switch {
	case err != nil:
		return nil, err
	case bulk == nil:
		return live, nil
	case live == nil:
		return bulk, nil
	case supersedes(bulk, bulkSeq, live, liveSeq):
		return bulk, nil
	default:
		return live, nil
	}
}

// LatestInLane returns the latest desired state of a product in one lane, nil if there is none.
func (s *DesiredStore) LatestInLane(ctx context.Context, account string, lane topology.Lane,
	product string,
) (*catalogv1.ProductChange, error) {
	subject := topology.CatalogSubject(account, lane, product)
	if s.m.Signatures() == mesh.Checked {
		state, err := s.latestAuthentic(ctx, subject)
		return state.change, err
	}
	change, _, err := s.last(ctx, subject)
	return change, err
}

func (s *DesiredStore) last(ctx context.Context, subject string) (*catalogv1.ProductChange, uint64, error) {
	msg, err := s.lastPublished(ctx, subject)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, 0, nil
	case err != nil:
		return nil, 0, fmt.Errorf("read the latest message of %s: %w", subject, err)
	}
	change := &catalogv1.ProductChange{}
	if err := proto.Unmarshal(msg.Data, change); err != nil {
		return nil, 0, fmt.Errorf("the latest message of %s is not a product change: %w", subject, err)
	}
	return change, msg.Sequence, nil
}

// lastPublished returns the latest message of a subject, or of a pattern, that the server did not publish again.
func (s *DesiredStore) lastPublished(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	msg, err := s.catalog().Last(ctx, subject)
	if err != nil {
		return nil, err
	}
	if err := mesh.CheckRepublished(msg.Header); err != nil {
		s.m.CountRefusal(ctx, topology.StreamCatalog, msg.Subject, err)
		return s.catalog().LastPublished(ctx, subject)
	}
	return msg, nil
}

// LastLive returns the version of the last message of the account's live lane, 0 if there is none. The stream has the
// write-ahead log up to that version.
func (s *DesiredStore) LastLive(ctx context.Context, account string) (uint64, error) {
	if s.m.Signatures() == mesh.Checked {
		change, err := s.lastLiveAuthentic(ctx, account)
		return change.GetVersion(), err
	}
	subject := "catalog." + account + "." + string(topology.Live) + ".*"
	msg, err := s.lastPublished(ctx, subject)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("read the latest message of %s: %w", subject, err)
	}
	v, err := strconv.ParseUint(msg.Header.Get(mesh.VersionHeader), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("message %d of stream %s has no usable %s header: %w", msg.Sequence,
			topology.StreamCatalog, mesh.VersionHeader, err)
	}
	return v, nil
}

// LastLiveChange returns the last message of the account's live lane; nil if there is none.
func (s *DesiredStore) LastLiveChange(ctx context.Context, account string) (*catalogv1.ProductChange, error) {
	if s.m.Signatures() == mesh.Checked {
		return s.lastLiveAuthentic(ctx, account)
	}
	change, _, err := s.last(ctx, "catalog."+account+"."+string(topology.Live)+".*")
	return change, err
}

// Products lists the tokens (see topology.Token) of the products that have a desired state in either lane.
func (s *DesiredStore) Products(ctx context.Context, account string) ([]string, error) {
	stream, err := s.m.JetStream().Stream(ctx, topology.StreamCatalog)
	if err != nil {
		return nil, fmt.Errorf("bind stream %s: %w", topology.StreamCatalog, err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter("catalog."+account+".*.*"))
	if err != nil {
		return nil, fmt.Errorf("list subjects of stream %s: %w", topology.StreamCatalog, err)
	}
	seen := make(map[string]bool, len(info.State.Subjects))
	out := make([]string, 0, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		if t := topology.LastToken(subject); !seen[t] {
			seen[t] = true
			out = append(out, t)
		}
	}
	return out, nil
}
