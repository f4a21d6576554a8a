package control

import (
	"cmp"
	"context"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// ListHistory returns the entries of the audit trail about the product that an id stands for, latest first.
func (c control) ListHistory(ctx context.Context,
	req *connect.Request[controlv1.ListHistoryRequest],
) (*connect.Response[controlv1.ListHistoryResponse], error) {
	out := &controlv1.ListHistoryResponse{}
	if err := c.Mesh.Ready(ctx); err != nil {
		out.Unknown = "later entries may be missing, because NATS cannot be reached: " + err.Error()
	}
	found, err := c.Ledger.Find(ctx, req.Msg.GetProductId(), maxFound)
	if err != nil {
		return nil, unavailable(err)
	}
	out.ProductIds = found.Products
	if len(found.Products) != 1 {
		return connect.NewResponse(out), nil
	}
	limit := int(cmp.Or(req.Msg.GetLimit(), defaultLimit))
	entries, err := c.Ledger.History(ctx, found.Products[0], limit)
	if err != nil {
		return nil, unavailable(err)
	}
	for _, e := range entries {
		entry, err := historyEntry(e)
		if err != nil {
			return nil, connect.NewError(connect.CodeInternal, err)
		}
		out.Entries = append(out.Entries, entry)
	}
	return connect.NewResponse(out), nil
}

// historyEntry returns the API's message about an entry of the history.
func historyEntry(e ledger.Entry) (*controlv1.HistoryEntry, error) {
	entry := &controlv1.HistoryEntry{}
	if e.Data != nil {
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(e.Data, entry); err != nil {
			return nil, fmt.Errorf("decode entry %s of the history: %w", e.EventID, err)
		}
	}
	entry.At, entry.Kind, entry.Version = timestamppb.New(e.At), e.Kind, e.Version
	entry.Detail, entry.TraceId = e.Detail, e.TraceID
	return entry, nil
}
