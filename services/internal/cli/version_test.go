package cli

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/service"
)

func TestVersion_OfClientAndProcesses(t *testing.T) {
	url := (&stub{processes: func() (*controlv1.ListProcessesResponse, error) {
		return &controlv1.ListProcessesResponse{Services: []*controlv1.ServiceStatus{
			{Service: "ingestion", Problem: "does not run"},
			{Service: "push", Processes: []*controlv1.ProcessStatus{
				{State: "running", Process: &meshv1.Process{Version: "0.0.9", Host: "node-1", Pid: 7}},
				{State: "running", Process: &meshv1.Process{Version: service.Version(), Host: "node-2", Pid: 8}},
			}},
		}}, nil
	}}).serve(t)
	out, code := outputOf(t, "version", "--control", url)
	require.Zero(t, code)
	require.Contains(t, out, "driftless "+service.Version()+" (commit ")
	require.Regexp(t, `ingestion +- +- +- +does not run\n`, out)
	require.Regexp(t, `push +0\.0\.9 +node-1 +7 +running\n`, out)
	require.Contains(t, out, "NOTE: 1 process has another version than this program.\n")

	out, code = outputOf(t, "version", "--control", url, "-o", "json")
	require.Zero(t, code)
	require.Contains(t, out, `"version": "0.0.9"`)
	require.Contains(t, out, `"unknown": ""`)
}

func TestVersion_WithoutMesh(t *testing.T) {
	out, code := outputOf(t, "version", "--data-dir", t.TempDir())
	require.Zero(t, code, "there is nothing to ask")
	require.Contains(t, out, "The versions of the mesh are unknown: no mesh runs on data directory ")

	out, code = outputOf(t, "version", "--client", "--control", "http://127.0.0.1:1")
	require.Zero(t, code)
	require.NotContains(t, out, "mesh")

	for _, url := range []string{"http://127.0.0.1:1", (&stub{}).serve(t)} {
		out, code = outputOf(t, "version", "--control", url, "-o", "json")
		require.Equal(t, 2, code, "a mesh that does not answer is not known to run this version")
		var answer versionAnswer
		require.NoError(t, json.Unmarshal([]byte(out), &struct {
			Client  *clientVersion `json:"client"`
			Unknown *string        `json:"unknown"`
		}{&answer.Client, &answer.Unknown}))
		require.Equal(t, service.Version(), answer.Client.Version)
		require.NotEmpty(t, answer.Unknown)
	}
}
