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

// A secret in an address is hidden, whatever the rest of the address is. An unescaped one with separators of a URL is
// not recognised; no client would connect with it.
func FuzzRedactURL(f *testing.F) {
	const secret = "HUSH"
	for _, text := range []string{
		"", "app", "db:5432", "/shop", "?sslmode=disable", "#x", "%41", "%zz", " ", ",", "'",
		`\`, "=", "host=db", "::1", "\x00", "漢",
	} {
		for form := range uint8(6) {
			f.Add(form, text, "db/shop")
			f.Add(form, "app", text)
			f.Add(form, "app", ":@"+text)
		}
	}
	f.Fuzz(func(t *testing.T, form uint8, user, rest string) {
		if strings.Contains(user+rest, "USH") || strings.ContainsAny(user, ":@") {
			return
		}
		var in string
		switch form % 6 {
		case 0:
			in = "postgres://" + user + ":" + secret + "@" + rest
		case 1:
			in = "nats://" + user + ":" + secret + "@" + rest
		case 2:
			in = "nats://" + secret + "@" + rest
		case 3:
			in = "nats://" + user + ":" + secret + "@a,tls://" + secret + "@" + rest
		case 4:
			in = "host=db password=" + secret + " " + rest
		case 5:
			in = "postgres://db/shop?user=" + user + "&password=" + secret + "&" + rest
		}
		if out := RedactURL(in); strings.Contains(out, secret) {
			t.Fatalf("%q shows it: %q", in, out)
		}
	})
}
