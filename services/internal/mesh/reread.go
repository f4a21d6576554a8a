package mesh

import (
	"context"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// maxRereadIDs is the maximum number of products in one command.
const maxRereadIDs = 10_000

// RequestReread commands ingestion to reread products, or the whole catalog if products is empty. It returns when the
// command is stored. The same id within two minutes is the same command. concerned means that a change of a watched row
// may concern the products. Many products become several commands: the ids of those after the first end in ".1", ".2"
// and so on.
func (m *Mesh) RequestReread(ctx context.Context, account, id, reason string, products []string, concerned bool) error {
	now, err := m.clock.Now(ctx)
	if err != nil {
		return err
	}
	for i, some := range rereadParts(products, m.MaxBody()/2) {
		part := id
		if i > 0 {
			part += "." + strconv.Itoa(i)
		}
		command := &meshv1.Command{
			Id: part, Account: account, Issuer: m.name, Reason: reason, IssuedAt: timestamppb.New(now),
			Verb: &meshv1.Command_Backfill{Backfill: &meshv1.Backfill{ProductIds: some, Concerned: concerned}},
		}
		if err := m.Publish(ctx, topology.CommandSubject(topology.Ingestion, account, topology.VerbBackfill, ""),
			command, WithID(part)); err != nil {
			return fmt.Errorf("command ingestion to reread %d products: %w", len(some), err)
		}
	}
	return nil
}

// rereadParts splits products so that the ids of a part fit into the given number of bytes. It returns at least one
// part.
func rereadParts(products []string, bytes int) [][]string {
	parts := [][]string{nil}
	size := 0
	for _, id := range products {
		last := len(parts) - 1
		room := 1 + protowire.SizeBytes(len(id))
		if n := len(parts[last]); n >= maxRereadIDs || n > 0 && size+room > bytes {
			parts, size = append(parts, nil), 0
			last++
		}
		parts[last] = append(parts[last], id)
		size += room
	}
	return parts
}
