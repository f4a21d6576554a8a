package ingestion

import (
	"fmt"
	"testing"

	"github.com/jackc/pglogrepl"
	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/ingestion/internal/builtin"
	"github.com/driftless-sync/driftless/services/ingestion/internal/mapping"
	"github.com/driftless-sync/driftless/services/ingestion/internal/validation"
	"github.com/driftless-sync/driftless/services/ingestion/internal/wal"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

// TestBatch_IsSortedByVersion: a crash may come between two atomic publishes of a batch. The log below the last stored
// version is not read again, so nothing with a lower version may come after it.
func TestBatch_IsSortedByVersion(t *testing.T) {
	t.Parallel()
	url := localtest.Postgres(t)
	require.NoError(t, builtin.Migrate(t.Context(), url))
	pool := localtest.Pool(t, url)
	for i := range 50 {
		_, err := pool.Exec(t.Context(), `INSERT INTO driftless.products (id, name) VALUES ($1, 'P')`,
			fmt.Sprintf("p%d", i))
		require.NoError(t, err)
	}
	m, err := mapping.New(t.Context(), pool, builtin.Mapping())
	require.NoError(t, err)
	v, err := validation.New()
	require.NoError(t, err)
	s := &schema{mapping: m}
	in := &ingester{account: "default", maxBody: 1 << 20, validate: v}
	in.schema.Store(s)
	var chunks []*wal.Chunk
	for lsn := range 10 {
		c := &wal.Chunk{Xid: 3, CommitLSN: pglogrepl.LSN(lsn + 1), EndLSN: pglogrepl.LSN(lsn + 1)}
		// Every transaction touches the first product, and some of its own.
		c.Products = append(c.Products, wal.TouchedProduct{ID: "p0"})
		for i := range 4 {
			c.Products = append(c.Products, wal.TouchedProduct{ID: fmt.Sprintf("p%d", 1+4*lsn+i)})
		}
		chunks = append(chunks, c)
	}
	b, err := in.read(t.Context(), &turn{schema: s}, chunks)
	require.NoError(t, err)
	b.sortByVersion()
	require.Len(t, b.out, 41)
	for i := 1; i < len(b.out); i++ {
		require.LessOrEqual(t, b.out[i-1].Version, b.out[i].Version)
	}
}
