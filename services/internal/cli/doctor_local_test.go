package cli

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

// A mesh with a mapping has no built-in tables, so doctor without --config must not miss them.
func TestDoctor_TakesMappingOfLocalMesh(t *testing.T) {
	t.Parallel()
	url := localtest.Postgres(t)
	_, err := localtest.Pool(t, url).Exec(t.Context(), `CREATE TABLE items (id text PRIMARY KEY, name text NOT NULL);
		CREATE TABLE tariffs (id text PRIMARY KEY, item text REFERENCES items, cents int NOT NULL);
		ALTER TABLE tariffs REPLICA IDENTITY FULL`)
	require.NoError(t, err)
	dir := t.TempDir()
	file := filepath.Join(dir, "driftless.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`catalog:
  products: SELECT id, name FROM items
  prices: SELECT id, item AS product, 'eur' AS currency, cents AS unit_amount FROM tariffs
  watch: [{table: items, product_id: id}, {table: tariffs, product_id: item}]
`), 0o600))
	require.NoError(t, endpoints{Database: url, Config: file, Simulated: true}.save(dir))
	cmd := doctorCmd{Only: []string{"mapping"}, Limit: 30 * time.Second}
	report, err := cmd.examine(t.Context(), &cli{Local: config.Local{DataDir: dir}}, "default")
	require.NoError(t, err)
	require.Empty(t, report.Findings)
	var fine []string
	for _, looked := range report.Fine {
		fine = append(fine, looked.ID)
	}
	require.Contains(t, fine, "mapping.queries")
}
