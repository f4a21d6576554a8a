package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckWebhookSecrets(t *testing.T) {
	const own = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	for _, base := range []string{
		"", "api.stripe.com", "https://api.stripe.com", "https://api.stripe.com/",
		"HTTPS://API.stripe.com:443", "http://api.stripe.com", "https://egress.example.com",
	} {
		require.NoError(t, CheckWebhookSecrets(base, []string{own}), base)
		require.NoError(t, CheckWebhookSecrets(base, nil), base)
		for _, secret := range publishedSecrets {
			err := CheckWebhookSecrets(base, []string{own, secret})
			require.ErrorContains(t, err, "published", base)
			require.NotContains(t, err.Error(), secret)
		}
	}
	for _, base := range []string{"http://127.0.0.1:12111", "http://simulator:12111", "http://stripe-sim:12111"} {
		require.NoError(t, CheckWebhookSecrets(base, publishedSecrets), base)
	}
}

// Every text in the repository that looks like a signing secret is refused, tests aside. So a new example cannot be
// forgotten.
func TestPublishedSecrets_ListAllSecretsOfRepository(t *testing.T) {
	secret := regexp.MustCompile(`whsec_[A-Za-z0-9_]+`)
	root := filepath.Join("..", "..", "..")
	found := 0
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root &&
			(strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "node_modules"):
			return fs.SkipDir
		case !d.Type().IsRegular() || strings.HasSuffix(path, "_test.go") || d.Name() == "secrets.env":
			return nil
		}
		info, err := d.Info()
		if err != nil || info.Size() > 1<<20 {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, s := range secret.FindAllString(string(data), -1) {
			found++
			require.Contains(t, publishedSecrets, s, path)
		}
		return nil
	}))
	require.Positive(t, found)
}
