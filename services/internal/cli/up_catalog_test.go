package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

func TestPinCatalog_RefusesAnotherDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pin := func(databaseURL, natsURL string) error {
		u := &up{upCmd: &upCmd{}, dataDir: dir, logger: discard()}
		u.DatabaseURL, u.NATSURL = config.Secret(databaseURL), natsURL
		return u.pinCatalog(t.Context())
	}
	first, other := localtest.Postgres(t), localtest.Postgres(t)
	require.NoError(t, pin("postgres://127.0.0.1:1/nowhere", ""), "ingestion says what is wrong")
	require.NoError(t, pin(first, ""))
	require.NoError(t, pin(first, ""), "the same database again")
	err := pin(other, "")
	require.ErrorContains(t, err, "would count as deleted")
	require.ErrorContains(t, err, "--data-dir")
	require.ErrorContains(t, pin("", ""), "now the catalog is in its own Postgres")
	require.NoError(t, pin(other, "nats://elsewhere"), "what was captured is not in the directory")

	require.NoError(t, os.Remove(filepath.Join(dir, "catalog")))
	require.NoError(t, pin("", ""))
	require.ErrorContains(t, pin(first, ""), "was used with its own Postgres")
}
