package telemetry_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

func TestNewLogger_EscapesControlCharacters(t *testing.T) {
	t.Parallel()
	const attack = "x\x1b[31m\x07\x7f\u009b\u202e\u2066\u2028\r\ntime=2026-01-01 level=INFO msg=forged"
	for _, format := range []string{"text", "json"} {
		out := &lines{}
		logger, err := telemetry.NewLogger(out, "info", format)
		require.NoError(t, err)
		logger.With("product", attack).WithGroup("g").Info(attack, "value", attack, "error", errors.New(attack),
			"list", []string{attack},
			slog.Group("group", "text", attack))
		require.Len(t, out.all(), 1, format)
		line := out.all()[0]
		require.False(
			t, strings.ContainsFunc(line, func(r rune) bool { return visible.Text(string(r)) != string(r) }), "%q",
			line,
		)
		if format == "json" {
			var record map[string]any
			require.NoError(t, json.Unmarshal([]byte(line), &record))
			require.Equal(t, attack, record["msg"])
			require.Equal(t, attack, record["product"])
		}
	}
}
