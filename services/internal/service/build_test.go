package service

import (
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBuild_PrefersTheStampOfTheRelease(t *testing.T) {
	t.Parallel()
	const commit = "2e3d2021d2c4b1f0a9e8d7c6b5a4938271605f4e"
	const stamp = "2026-11-27T01:40:12Z"
	at := time.Date(2026, 11, 27, 1, 40, 12, 0, time.UTC)
	checkout := &debug.BuildInfo{
		Main: debug.Module{Version: "v0.2.0"},
		Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "ffffffffffffffffffffffffffffffffffffffff"},
			{Key: "vcs.time", Value: "2025-01-02T03:04:05+01:00"},
			{Key: "vcs.modified", Value: "true"},
		},
	}
	for name, c := range map[string]struct {
		version, commit, date string
		info                  *debug.BuildInfo
		want                  Build
		line                  string
	}{
		"a release": {
			version: "0.1.0",
			commit:  commit,
			date:    stamp,
			info:    checkout,
			want:    Build{Version: "0.1.0", Commit: commit, Date: at},
			line:    "0.1.0 (2e3d2021d2c4, 2026-11-27)",
		},
		"an image, which has no commit": {
			version: "0.1.0",
			info:    &debug.BuildInfo{},
			want:    Build{Version: "0.1.0"},
			line:    "0.1.0",
		},
		"a commit without a date": {
			version: "0.1.0",
			commit:  "2e3d202",
			want:    Build{Version: "0.1.0", Commit: "2e3d202"},
			line:    "0.1.0 (2e3d202)",
		},
		"go install, and a checkout with changes": {
			info: checkout,
			want: Build{
				Version: "0.2.0",
				Commit:  "ffffffffffffffffffffffffffffffffffffffff-dirty",
				Date:    time.Date(2025, 1, 2, 2, 4, 5, 0, time.UTC),
			},
			line: "0.2.0 (ffffffffffff-dirty, 2025-01-02)",
		},
		"a checkout": {
			info: &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}},
			want: Build{Version: "0.1.0"},
			line: "0.1.0",
		},
		"nothing is known": {want: Build{Version: "0.1.0"}, line: "0.1.0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := buildOf(c.version, c.commit, c.date, c.info)
			require.True(t, c.want.Date.Equal(got.Date), "%s", got.Date)
			got.Date = c.want.Date
			require.Equal(t, c.want, got)
			require.Equal(t, c.line, got.String())
		})
	}
}
