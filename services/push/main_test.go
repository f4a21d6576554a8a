package push_test

import (
	"flag"
	"os"
	"testing"
)

// strict makes the simulator refuse what Stripe is not known to accept: empty values that its OpenAPI document does not
// offer, and ids of deleted products.
var strict = os.Getenv("DRIFTLESS_STRICT") != ""

// TestMain runs the tests a second time against a strict simulator. DRIFTLESS_STRICT=1 runs single tests against one.
func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if all := flag.Lookup("test.run").Value.String() == "" && !testing.Short(); all && !strict && code == 0 {
		strict = true
		code = m.Run()
	}
	os.Exit(code)
}

// needsLeniency skips a test of something that a strict Stripe refuses.
func needsLeniency(t *testing.T, what string) {
	t.Helper()
	if strict {
		t.Skip("a strict Stripe refuses " + what)
	}
}
