package cli

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The first 22 characters of this payload end at a mark of base64, so they look like an id. They got the name of one.
func TestNames_PayloadIsNoID(t *testing.T) {
	known := names{}
	require.Equal(t, `"payload": "PAYLOAD"`, known.golden(`"payload":  "CgdkZWZhdWx0EgNtdWcYiK/fJiAB"`, "/work"))
	require.Equal(t, "id-1", known.golden("aI8lLNmPx77ZtBU7bccEbj", "/work"))
}
