package budget

import (
	"context"
	"sync"

	"google.golang.org/protobuf/proto"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/state"
)

// memoryStore is a store in memory, for a process that shares with no other.
type memoryStore struct {
	mu       sync.Mutex
	record   *meshv1.Budget
	revision uint64
}

func (s *memoryStore) GetAt(_ context.Context, into proto.Message) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.record != nil {
		proto.Merge(into, s.record)
	}
	return s.revision, nil
}

func (s *memoryStore) CompareAndPut(_ context.Context, record proto.Message, revision uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision != s.revision {
		return 0, state.ErrConflict
	}
	s.record = proto.CloneOf(record.(*meshv1.Budget)) //nolint:forcetypeassert // the only record there is
	s.revision++
	return s.revision, nil
}
