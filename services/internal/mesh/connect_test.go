package mesh_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/mesh"
)

func TestConnect_ErrorsHideSecrets(t *testing.T) {
	for name, url := range map[string]string{
		"several servers": "nats://a:hush@127.0.0.1:1,nats://b:hush@127.0.0.1:2",
		"a token":         "nats://hush@127.0.0.1:1",
		"a broken URL":    "nats://a:hush%@127.0.0.1:1",
		"a broken port":   "nats://a:hush/b@127.0.0.1:1",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := mesh.Connect(t.Context(), mesh.Config{URL: url, Name: "test"})
			require.Error(t, err)
			require.ErrorContains(t, err, "NATS_URL")
			require.NotContains(t, err.Error(), "hush")
		})
	}
}

func TestConnect_UnreachableServerIsOneSentence(t *testing.T) {
	_, err := mesh.Connect(t.Context(), mesh.Config{URL: "nats://user:hidden@127.0.0.1:1", Name: "test"})
	require.ErrorContains(t, err, "cannot reach NATS at")
	require.ErrorContains(t, err, "NATS_URL")
	require.NotContains(t, err.Error(), "hidden")
}
