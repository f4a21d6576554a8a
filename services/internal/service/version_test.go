package service

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVersion_NamesReleaseOrCommit(t *testing.T) {
	t.Parallel()
	build := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: settings}
	}
	require.Equal(t, "0.1.0", versionOf(nil, ""))
	require.Equal(t, "0.1.0", versionOf(build("(devel)"), ""))
	require.Equal(t, "0.1.0+2e3d202", versionOf(build("(devel)"), "2e3d202d91"))
	require.Equal(t, "0.1.0+2e3d202.dirty", versionOf(build("(devel)"), "2e3d202d91-dirty"))
	recorded := debug.BuildSetting{Key: "vcs.revision", Value: "9fbb5fa0"}
	require.Equal(t, "0.1.0+9fbb5fa", versionOf(build("", recorded), ""))
	require.Equal(t, "1.2.3", versionOf(build("v1.2.3"), ""))
	require.NotEqual(t, "devel", Version())
}
