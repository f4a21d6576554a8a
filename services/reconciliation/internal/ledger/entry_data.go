package ledger

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// EncodeData encodes the parts of an entry of the audit trail that have no column.
func EncodeData(e *controlv1.HistoryEntry) ([]byte, error) {
	data, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode an entry of the audit trail: %w", err)
	}
	return data, nil
}

// changesOf returns the data of an entry about a change of the catalog.
func changesOf(before, after *catalogv1.ProductChange) ([]byte, error) {
	e := &controlv1.HistoryEntry{Actor: after.GetActor(), CapturedAt: after.GetCapturedAt()}
	for _, c := range catalog.Changes(before.GetProduct(), after.GetProduct()) {
		e.Changes = append(e.Changes, &controlv1.FieldChange{Field: c.Field, Old: c.Old, New: c.New})
	}
	if len(e.Changes) == 0 && e.GetActor() == "" && e.GetCapturedAt() == nil {
		return nil, nil
	}
	return EncodeData(e)
}
