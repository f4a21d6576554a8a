package service

import (
	"runtime/debug"
	"strings"
	"time"
)

// Set by the linker in a release (-X).
var (
	version string
	commit  string
	// date is when the commit was made, in RFC 3339. The time of the build would make two builds of a commit differ.
	date string
)

// Build says what a program was built from.
type Build struct {
	// Version is that of the release or of the module: "0.1.0". A build from a checkout also has the commit, if it is
	// known: "0.1.0+2e3d202".
	Version string
	// Commit is the commit in full, "" if the program does not know it. The suffix "-dirty" means that files were
	// changed after the commit.
	Commit string
	// Date is when the commit was made, zero if the program does not know it.
	Date time.Time
}

// Version returns the version as Build has it.
func Version() string { return ReadBuild().Version }

// ReadBuild returns what this program was built from.
func ReadBuild() Build {
	info, _ := debug.ReadBuildInfo()
	return buildOf(version, commit, date, info)
}

// buildOf prefers what the linker was told to what Go recorded. info may be nil.
func buildOf(version, commit, date string, info *debug.BuildInfo) Build {
	b := Build{Version: version, Commit: commit}
	b.Date, _ = time.Parse(time.RFC3339, date)
	// An image that was built without a version has "devel".
	if version == "" || version == "devel" {
		b.Version = versionOf(info, commit)
	}
	if b.Commit == "" && info != nil {
		b.Commit, b.Date = recorded(info.Settings)
	}
	return b
}

// recorded returns the commit that Go found in the checkout, and when it was made.
func recorded(settings []debug.BuildSetting) (commit string, date time.Time) {
	suffix := ""
	for _, s := range settings {
		switch s.Key {
		case "vcs.revision":
			commit = s.Value
		case "vcs.time":
			date, _ = time.Parse(time.RFC3339, s.Value)
		case "vcs.modified":
			if s.Value == "true" {
				suffix = "-dirty"
			}
		}
	}
	if commit == "" {
		return "", time.Time{}
	}
	return commit + suffix, date
}

// shortCommit is how many digits of a commit String has.
const shortCommit = 12

// String returns one line: the version, and the commit and its date where they are known.
func (b Build) String() string {
	if b.Commit == "" {
		return b.Version
	}
	digits, suffix, isDirty := strings.Cut(b.Commit, "-")
	digits = digits[:min(len(digits), shortCommit)]
	if isDirty {
		digits += "-" + suffix
	}
	if b.Date.IsZero() {
		return b.Version + " (" + digits + ")"
	}
	return b.Version + " (" + digits + ", " + b.Date.UTC().Format("2006-01-02") + ")"
}
