package push_test

import (
	"flag"
	"os"
	"testing"
)

// strict has the simulator refuse what Stripe is not known to take: empty values that its OpenAPI document does not
// offer, and ids of deleted products.
var strict = os.Getenv("DRIFTLESS_STRICT") != ""

// TestMain runs the whole suite once more against a strict Stripe. DRIFTLESS_STRICT=1 runs single tests against one.
func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if all := flag.Lookup("test.run").Value.String() == "" && !testing.Short(); all && !strict && code == 0 {
		strict = true
		code = m.Run()
	}
	os.Exit(code)
}

// needsLeniency skips a test that is about what a strict Stripe refuses.
func needsLeniency(t *testing.T, what string) {
	t.Helper()
	if strict {
		t.Skip("a strict Stripe refuses " + what)
	}
}
