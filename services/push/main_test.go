package push_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// strict makes the simulator refuse what Stripe is not known to accept: empty values that its OpenAPI document does not
// offer, and ids of deleted products.
var strict = os.Getenv("DRIFTLESS_STRICT") != ""

// undocumented are the tests that made a request that a strict simulator refuses.
var undocumented struct {
	mu    sync.Mutex
	tests []string
}

// noteUndocumented returns the function that the simulator of a test calls for such a request.
func noteUndocumented(t *testing.T) func() {
	t.Helper()
	name, _, _ := strings.Cut(t.Name(), "/")
	return sync.OnceFunc(func() {
		undocumented.mu.Lock()
		defer undocumented.mu.Unlock()
		undocumented.tests = append(undocumented.tests, name)
	})
}

// TestMain runs those tests a second time, against a strict simulator. For the others both are the same.
// DRIFTLESS_STRICT=1 runs single tests against one.
func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if all := flag.Lookup("test.run").Value.String() == "" && !testing.Short(); all && !strict && code == 0 {
		code = runStrict(m)
	}
	os.Exit(code)
}

func runStrict(m *testing.M) int {
	if len(undocumented.tests) == 0 {
		fmt.Println("no test made a request that a strict simulator refuses: OnUndocumented is not called")
		return 1
	}
	if err := flag.Set("test.run", "^("+strings.Join(undocumented.tests, "|")+")$"); err != nil {
		fmt.Println(err)
		return 1
	}
	strict = true
	return m.Run()
}

// needsLeniency skips a test of something that a strict Stripe refuses.
func needsLeniency(t *testing.T, what string) {
	t.Helper()
	if strict {
		t.Skip("a strict Stripe refuses " + what)
	}
}
