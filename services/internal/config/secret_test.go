package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

func TestSecretsAreHiddenFromEveryVerbAndEncoder(t *testing.T) {
	const value = "sk_test_abc"
	v := struct {
		One  Secret  `json:"one"`
		Many Secrets `json:"many"`
		Ref  *Secret `json:"ref"`
	}{value, value, new(Secret(value))}
	for _, verb := range "vTtbcdoOqxXUeEfFgGs" {
		for _, flags := range []string{"", "+", "#", "-20", "020", " "} {
			format := "%" + flags + string(verb)
			for _, arg := range []any{v, v.One, v.Many, &v, []Secret{v.One}, map[Secret]Secrets{v.One: v.Many}} {
				got := fmt.Sprintf(format, arg)
				require.NotContains(t, got, value, format)
				require.NotContains(t, got, fmt.Sprintf("%x", value), format)
				require.NotContains(t, got, fmt.Sprintf("%X", value), format)
				require.NotContains(t, got, fmt.Sprintf("% x", value), format)
				require.NotContains(t, got, fmt.Sprintf("%d", []byte(value[:4]))[1:12], format)
			}
		}
	}
	require.Equal(t, "[redacted] [redacted]", fmt.Sprintf("%x %#v", v.One, v.Many))

	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("x", "one", v.One, "many", v.Many, "all", v)
	}
	encoded, err := json.Marshal(v)
	require.NoError(t, err)
	log.Write(encoded)
	if encoded, err = yaml.Marshal(v); err == nil {
		log.Write(encoded)
	}
	require.NotContains(t, log.String(), value)
	require.Contains(t, log.String(), redacted)
}
