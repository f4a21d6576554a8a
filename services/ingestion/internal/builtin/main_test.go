package builtin_test

import (
	"testing"

	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

func TestMain(m *testing.M) { localtest.VerifyTestMain(m) }
