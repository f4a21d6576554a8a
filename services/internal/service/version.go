package service

import (
	"cmp"
	"runtime/debug"
	"strings"
)

// release is the version of this source.
const release = "0.1.0"

// version and commit are set by the linker (-X): both in a release, commit alone in a build from a checkout.
var version, commit string

// Version returns the version of the release: "0.1.0". In a build from a checkout it also has the commit, if that is
// known: "0.1.0+2e3d202", or "0.1.0+2e3d202.dirty" if the source had changes beside it.
func Version() string {
	// An image that was built without a version has this one.
	if version != "" && version != "devel" {
		return version
	}
	info, _ := debug.ReadBuildInfo()
	return versionOf(info, commit)
}

// versionOf is the version of a build that is no release. A module that was fetched has the version of its tag.
func versionOf(info *debug.BuildInfo, commit string) string {
	if info != nil && strings.HasPrefix(info.Main.Version, "v") {
		return strings.TrimPrefix(info.Main.Version, "v")
	}
	if commit = cmp.Or(commit, revisionOf(info)); commit != "" {
		return release + "+" + short(commit)
	}
	return release
}

// Commit returns the commit of the source, or "" if it is not known.
func Commit() string {
	info, _ := debug.ReadBuildInfo()
	return cmp.Or(commit, revisionOf(info))
}

// revisionOf returns the commit that the go command has recorded, or "".
func revisionOf(info *debug.BuildInfo) string {
	if info != nil {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return ""
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
