package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// endpoints are where a mesh is reached; `up --json` prints them.
type endpoints struct {
	Ingest   string `json:"ingest"`
	Webhook  string `json:"webhook"`
	Control  string `json:"control"`
	Push     string `json:"push"`
	Stripe   string `json:"stripe"`
	NATS     string `json:"nats"`
	Database string `json:"database"`
	// Token of the APIs; empty if they ask for none.
	Token string `json:"token"`
	// Simulated is true if Stripe is the simulator.
	Simulated bool `json:"simulated"`
	// Pids of the services' processes, by name.
	Pids map[string]int `json:"pids"`
}

func endpointsFile(dataDir string) string { return filepath.Join(dataDir, "mesh.json") }

// save tells commands on this machine where the mesh is. The file holds the passwords of the database and of NATS, and
// the token.
func (e endpoints) save(dataDir string) error {
	data, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return fmt.Errorf("write down where the mesh is: %w", err)
	}
	tmp := endpointsFile(dataDir) + ".new"
	if err := os.WriteFile(tmp, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write down where the mesh is: %w", err)
	}
	if err := os.Rename(tmp, endpointsFile(dataDir)); err != nil {
		return fmt.Errorf("write down where the mesh is: %w", err)
	}
	return nil
}

// errNoMesh: a data directory has no mesh that runs.
var errNoMesh = errors.New("no mesh runs")

// findMesh reads where the mesh on this data directory is.
func findMesh(dataDir string) (endpoints, error) {
	data, err := os.ReadFile(endpointsFile(dataDir))
	if errors.Is(err, fs.ErrNotExist) {
		return endpoints{},
			fmt.Errorf("%w on data directory %s: start one with `driftless up`, name its directory with --data-dir, or the address with --control and --ingest", errNoMesh, dataDir)
	}
	if err != nil {
		return endpoints{}, fmt.Errorf("read where the mesh is: %w", err)
	}
	var e endpoints
	if err := json.Unmarshal(data, &e); err != nil {
		return endpoints{}, fmt.Errorf("read where the mesh is: %s: %w", endpointsFile(dataDir), err)
	}
	return e, nil
}
