package mesh_test

import (
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// The new key is trusted, then used, then the old one is no longer trusted.
func TestKeyring_RotatesWithoutRestart(t *testing.T) {
	s := meshtest.NewSigners(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := dir + "/" + name
		require.NoError(t, os.WriteFile(path+".new", []byte(text+"\n"), 0o600))
		require.NoError(t, os.Rename(path+".new", path))
		return path
	}
	keyFile, trustedFile := write("key", s.Keys[topology.Ingestion].Reveal()), write("trusted", s.Trusted)
	files := mesh.Signing{
		Key:         s.Keys[topology.Ingestion].Reveal(),
		KeyFile:     keyFile,
		Trusted:     s.Trusted,
		TrustedFile: trustedFile,
	}
	in := s.Connect(t, topology.Ingestion, files)
	files.Key, files.KeyFile = s.Keys[topology.Push].Reveal(), ""
	push := s.Connect(t, topology.Push, files)

	meshtest.Publish(t, in, topology.Live, "old", 1)
	next := meshtest.NewKey(t)
	both := s.Trusted + ",ingestion=" + next.Public().String()
	write("trusted", both)
	current := func(m *mesh.Mesh, product string) bool {
		states, err := state.New(m).Desired().States(t.Context(), "default", []string{product})
		require.NoError(t, err)
		return states[0].Change != nil && states[0].Current
	}
	require.True(t, current(in, "old"))
	write("key", next.Reveal())
	require.Eventually(t, func() bool { return !current(in, "old") }, 2*patience, 20*time.Millisecond,
		"ingestion does not use the new key")
	meshtest.Publish(t, in, topology.Live, "new", 2)
	require.True(t, current(in, "new"))
	for _, product := range []string{"old", "new"} {
		require.Eventually(t, func() bool {
			state, err := state.New(push).Desired().Latest(t.Context(), "default", product)
			require.NoError(t, err)
			return state != nil
		}, patience, 20*time.Millisecond, product)
	}
	write("trusted", strings.Replace(both, s.Keys[topology.Ingestion].Public().String(), next.Public().String(), 1))
	require.Eventually(t, func() bool {
		state, err := state.New(push).Desired().Latest(t.Context(), "default", "old")
		require.NoError(t, err)
		return state == nil
	}, 2*patience, 20*time.Millisecond, "push still trusts the old key")
	// An unreadable file changes nothing, and neither does one whose keys would refuse the service's own messages.
	write("trusted", "nonsense")
	state, err := state.New(push).Desired().Latest(t.Context(), "default", "new")
	require.NoError(t, err)
	require.NotNil(t, state)
}

func TestConnect_RefusesUnusableKeys(t *testing.T) {
	s := meshtest.NewSigners(t)
	key := meshtest.NewKey(t)
	for name, c := range map[string]struct {
		keys mesh.Signing
		says string
	}{
		"no key of its own": {mesh.Signing{Trusted: s.Trusted}, "DRIFTLESS_SIGNING_KEY is not"},
		"a key that nobody trusts": {
			mesh.Signing{Key: key.Reveal(), Trusted: s.Trusted},
			"add ingestion=" + key.Public().String(),
		},
		"another service's key": {
			mesh.Signing{Key: s.Keys[topology.Pull].Reveal(), Trusted: s.Trusted},
			"lacks the public key",
		},
		"a public key to sign with": {mesh.Signing{Key: key.Public().String()}, "this is a public key"},
		"no list":                   {mesh.Signing{Key: key.Reveal(), Trusted: " , "}, "has no key"},
		"an unknown service": {
			mesh.Signing{Key: key.Reveal(), Trusted: "billing=" + key.Public().String()},
			"none of the services",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := mesh.Connect(t.Context(), mesh.Config{URL: s.URL, Name: topology.Ingestion, Signing: c.keys})
			require.ErrorContains(t, err, c.says)
			require.NotContains(t, err.Error(), key.Reveal())
		})
	}
}

// The log has one line at the start, and one a minute about refused messages.
func TestConnect_LogsSigningState(t *testing.T) {
	s := meshtest.NewSigners(t)
	for want, keys := range map[mesh.SigningState]mesh.Signing{
		mesh.NotSigned:  {},
		mesh.NotChecked: {Key: s.Keys[topology.Push].Reveal()},
		mesh.Checked:    {Key: s.Keys[topology.Push].Reveal(), Trusted: s.Trusted},
	} {
		t.Run(string(want), func(t *testing.T) {
			log := &lines{}
			m, err := mesh.Connect(t.Context(), mesh.Config{
				URL:     s.URL,
				Name:    topology.Push,
				Signing: keys,
				Logger:  slog.New(slog.NewTextHandler(log, nil)),
			})
			require.NoError(t, err)
			t.Cleanup(m.Close)
			require.Equal(t, want, m.Signatures())
			require.Equal(t, 1, log.count("signed"))
			require.NotContains(t, log.text(), s.Keys[topology.Push].Reveal())
			if want != mesh.Checked {
				return
			}
			for range 3 {
				s.Put(t, meshtest.Unsigned(t, topology.CatalogSubject("default", topology.Live, "mug"),
					meshtest.Change("mug", meshtest.HighVersion)))
				_, err = state.New(m).Desired().Latest(t.Context(), "default", "mug")
				require.NoError(t, err)
			}
			require.Equal(t, 1, log.count("message refused"))
			require.Contains(t, log.text(), "catalog.default.live.mug")
			require.Contains(t, log.text(), "it is not signed")
		})
	}
}

// lines is a log that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lines) count(what string) (n int) {
	for line := range strings.SplitSeq(l.text(), "\n") {
		if strings.Contains(line, what) {
			n++
		}
	}
	return n
}
