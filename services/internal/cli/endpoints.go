package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/driftless-sync/driftless/services/internal/durable"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// endpoints are the addresses of a mesh on this machine. `up --json` prints them.
type endpoints struct {
	Ingest   string `json:"ingest"`
	Webhook  string `json:"webhook"`
	Control  string `json:"control"`
	Push     string `json:"push"`
	Console  string `json:"console"`
	Stripe   string `json:"stripe"`
	NATS     string `json:"nats"`
	Database string `json:"database"`
	// Config is the path of the configuration file, empty if the mesh has none.
	Config string `json:"config"`
	// Token of the APIs, empty if they ask for none.
	Token string `json:"token"`
	// Simulated reports whether Stripe is the simulator.
	Simulated bool `json:"simulated"`
	// Pids are the process ids of the services, by name.
	Pids map[string]int `json:"pids"`
}

// services returns the addresses of the services, by name.
func (e endpoints) services() map[string]string {
	return map[string]string{
		topology.Ingestion:      e.Ingest,
		topology.Push:           e.Push,
		topology.Pull:           e.Webhook,
		topology.Reconciliation: e.Control,
		console:                 e.Console,
	}
}

func endpointsFile(dataDir string) string { return filepath.Join(dataDir, "mesh.json") }

// save writes the file in which commands on this machine find the mesh. The file has the passwords of the database and
// of NATS, and the token.
func (e endpoints) save(dataDir string) error {
	data, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return fmt.Errorf("write the addresses of the mesh: %w", err)
	}
	if err := durable.WriteFile(endpointsFile(dataDir), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the addresses of the mesh: %w", err)
	}
	return nil
}

// errNoMesh reports that no mesh runs on a data directory.
var errNoMesh = errors.New("no mesh runs")

// findMesh reads the addresses of the mesh on a data directory.
func findMesh(dataDir string) (endpoints, error) {
	data, err := os.ReadFile(endpointsFile(dataDir))
	if errors.Is(err, fs.ErrNotExist) {
		return endpoints{},
			fmt.Errorf("%w on data directory %s: start one with `driftless up`, set its directory with --data-dir, or set --control and --ingest", errNoMesh, dataDir)
	}
	if err != nil {
		return endpoints{}, fmt.Errorf("read the addresses of the mesh: %w", err)
	}
	var e endpoints
	if err := json.Unmarshal(data, &e); err != nil {
		return endpoints{}, fmt.Errorf("read the addresses of the mesh: %s is damaged, perhaps since a loss of power: "+
			"start `driftless up` again: %w", endpointsFile(dataDir), err)
	}
	return e, nil
}
