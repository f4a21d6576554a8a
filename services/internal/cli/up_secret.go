package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/durable"
)

// ensureToken creates the token of the APIs if none is given, since any program and user on this machine can reach a
// loopback port. Only an empty --token does without one. An empty variable counts as not set.
func ensureToken(parsed *kong.Context, c *cli, dataDir string) error {
	none := slices.ContainsFunc(parsed.Path, func(p *kong.Path) bool {
		return p.Flag != nil && p.Flag.Name == "token" && !p.Resolved
	})
	if c.Token != "" || none {
		return nil
	}
	token, err := readOrCreateSecret(filepath.Join(dataDir, "token"), "")
	if err != nil {
		return fmt.Errorf("token of the APIs: %w", err)
	}
	c.Token = config.Secret(token)
	return nil
}

// readOrCreateSecret returns the secret in a file that only its owner may read. It creates both at the first time.
func readOrCreateSecret(path, prefix string) (string, error) {
	data, err := os.ReadFile(path)
	if kept := strings.TrimSpace(string(data)); err == nil && kept != "" {
		return kept, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read the stored secret: %w", err)
	}
	secret := prefix + rand.Text()
	// A file that is half written would be read as the secret.
	if err := durable.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("store a secret: %w", err)
	}
	return secret, nil
}
