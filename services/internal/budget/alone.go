package budget

import (
	"context"
	"sync"

	"google.golang.org/protobuf/proto"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
)

// alone is a store that is shared with nobody.
type alone struct {
	mu       sync.Mutex
	record   *meshv1.Budget
	revision uint64
}

func (a *alone) GetAt(_ context.Context, into proto.Message) (uint64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.record != nil {
		proto.Merge(into, a.record)
	}
	return a.revision, nil
}

func (a *alone) CompareAndPut(_ context.Context, record proto.Message, revision uint64) (uint64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if revision != a.revision {
		return 0, mesh.ErrConflict
	}
	a.record = proto.CloneOf(record.(*meshv1.Budget)) //nolint:forcetypeassert // the only record there is
	a.revision++
	return a.revision, nil
}
