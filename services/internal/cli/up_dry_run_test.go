package cli

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/config"
)

func TestUpDryRun_WritesNothing(t *testing.T) {
	t.Parallel()
	unset := func(string) bool { return false }
	cmd := &upCmd{DryRun: true, Seed: true, Without: []string{"pull"}}
	cmd.Slot, cmd.DatabaseURL, cmd.Extras, cmd.StripeIDs = "driftless", "postgres://db", "import", true
	cmd.Policy.Policy = config.FieldRules{
		{Field: "name", Owner: "catalog", Action: "repair"},
		{Field: "description", Owner: "stripe"},
		{Field: "active", Owner: "newest", Action: "write-back"},
	}
	dir, err := cmd.prepareDryRun("data", nil, unset)
	require.NoError(t, err)
	require.Equal(t, filepath.Join("data", "dry-run"), dir, "a push on the data directory would write")
	require.Equal(t, []string{"pull", "push"}, cmd.Without)
	require.Equal(t, "name=catalog:repair,description=stripe:report,active=newest:report", cmd.Policy.Policy.String())
	require.Equal(t, "report", cmd.Extras)
	require.False(t, cmd.StripeIDs)
	require.False(t, cmd.Seed)
	require.Equal(t, "driftless_dry_run", cmd.Slot)

	named := &upCmd{DryRun: true}
	named.Slot, named.DatabaseURL = "mine", "postgres://db"
	_, err = named.prepareDryRun("data", nil, func(flag string) bool { return flag == "slot" })
	require.NoError(t, err)
	require.Equal(t, "mine", named.Slot)

	shared := &upCmd{DryRun: true}
	shared.NATSURL = "nats://production"
	_, err = shared.prepareDryRun("data", nil, unset)
	require.ErrorContains(t, err, "leave out --nats-url")
	_, err = (&upCmd{DryRun: true}).prepareDryRun("data", &config.Mapping{WriteIDs: &config.WriteIDs{}}, unset)
	require.ErrorContains(t, err, "catalog.write_ids")
	_, err = (&upCmd{Once: true}).prepareDryRun("data", nil, unset)
	require.ErrorContains(t, err, "--dry-run")
}
