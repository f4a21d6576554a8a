package stripesim_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if file := os.Getenv(childDataFile); file != "" {
		os.Exit(child(file))
	}
	goleak.VerifyTestMain(m)
}
