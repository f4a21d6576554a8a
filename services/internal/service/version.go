package service

import (
	"runtime/debug"
	"strings"
)

// release is the version of this source.
const release = "0.1.0"

// versionOf is the version of a build that is no release: "0.1.0+2e3d202", or "0.1.0+2e3d202.dirty" if the source had
// changes beside the commit. A module that was fetched has the version of its tag.
func versionOf(info *debug.BuildInfo, commit string) string {
	if info != nil && strings.HasPrefix(info.Main.Version, "v") {
		return strings.TrimPrefix(info.Main.Version, "v")
	}
	if commit == "" && info != nil {
		commit, _ = recorded(info.Settings)
	}
	if commit != "" {
		return release + "+" + short(commit)
	}
	return release
}

// short returns a commit in seven digits, with a word if the source had changes beside it.
func short(commit string) string {
	commit, isDirty := strings.CutSuffix(commit, "-dirty")
	commit = commit[:min(len(commit), 7)]
	if isDirty {
		commit += ".dirty"
	}
	return commit
}
