package service

import (
	"strings"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/config"
)

const (
	// maxAnnounced and maxValue bound the part of a process's record that has its settings.
	maxAnnounced = 200
	maxValue     = 300
)

// announced returns settings for the record of a process.
func announced(settings []config.Effective) []*meshv1.Setting {
	var out []*meshv1.Setting
	for _, e := range settings[:min(len(settings), maxAnnounced)] {
		s := &meshv1.Setting{Name: e.Name, Secret: e.IsSecret, Set: e.IsSet, Origin: string(e.Origin)}
		s.Value, s.Truncated = cut(e.Value)
		s.Default, _ = cut(e.Default)
		s.At, _ = cut(e.At)
		out = append(out, s)
	}
	return out
}

// cut returns a text of at most maxValue bytes that can be stored, and whether it was longer.
func cut(text string) (string, bool) {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= maxValue {
		return text, false
	}
	return strings.ToValidUTF8(text[:maxValue], ""), true
}
