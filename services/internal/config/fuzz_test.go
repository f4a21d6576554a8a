package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Any configuration file is either read or refused.
func FuzzLoad(f *testing.F) {
	for _, text := range []string{
		"", "nats_url: nats://n1", "a: b\n---\nc: d",
		"catalog:\n  products: SELECT 1\n  prices: SELECT 2\n  watch:\n    - {table: t, product_id: id}\n",
		"x-a: &a {b: c}\ncatalog:\n  <<: *a\n",
		"accounts:\n  us:\n    stripe_api_key: sk_test_x\n    catalog: {products: x}\n", "&a [*a]",
		"policy: {shippable: stripe}",
		"catalog:\n  write_back:\n    product: {name: UPDATE x}\n  accounts: [a]\n",
		"stripe_api_key_file: /x\nstripe_api_key: y", "[", "? {", "\xff", "a: !!binary x",
	} {
		f.Add([]byte(text))
	}
	path := filepath.Join(f.TempDir(), "driftless.yaml")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		r := newResolver()
		if err := r.load(path); err != nil && strings.Contains(err.Error(), "sk_test_x") {
			t.Fatalf("the error shows a secret: %v", err)
		}
	})
}
