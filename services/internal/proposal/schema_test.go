package proposal_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/proposal"
)

// The search path of the role that runs driftless init is not that of the services.
func TestPropose_NamesTheSchemaOfATable(t *testing.T) {
	t.Parallel()
	for schema, shared := range map[string]bool{"shop": false, "public": true} {
		db := database(products + ", price decimal00")
		db.Tables[0].Schema, db.Tables[0].Shared = schema, shared
		p := propose(t, db, proposal.Answers{Currency: "usd"})
		name := schema + ".products"
		require.Contains(t, p.Products, "FROM "+name+" p")
		require.Contains(t, p.Prices, "FROM "+name+" p")
		require.Equal(t, name, p.Watch[0].Table)
		require.Contains(t, p.SQL, "GRANT SELECT ON "+name+" TO")
		require.Contains(t, p.SQL, "FOR TABLE "+name)
	}
}
