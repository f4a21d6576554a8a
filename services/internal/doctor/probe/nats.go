package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/redact"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// NATS says how to reach NATS, and what it should have.
type NATS struct {
	// Client connects. Its name is that of the user whose permissions are checked.
	Client mesh.Config
	// Topology is what the server should have.
	Topology topology.Options
	// Monitors are the addresses of the servers' monitoring ports, such as http://nats:8222.
	Monitors []string
	// SyncsAlways reports whether the server is known to write to the disk before it acknowledges.
	SyncsAlways bool
}

// connection is the connection that all probes of NATS share.
type connection struct {
	NATS

	mu   sync.Mutex
	mesh *mesh.Mesh
}

func (c *connection) open(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mesh != nil {
		return nil
	}
	m, err := mesh.Connect(ctx, c.Client)
	c.mesh = m
	return err
}

// get returns the connection that open made.
func (c *connection) get() (*mesh.Mesh, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mesh == nil {
		return nil, errors.New("there is no connection to NATS")
	}
	return c.mesh, nil
}

func (c *connection) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mesh != nil {
		c.mesh.Close()
	}
}

// probes returns the probes of NATS.
func (c *connection) probes() []doctor.Probe {
	return []doctor.Probe{
		{Name: "NATS", Covers: []string{doctor.NATSReachable, doctor.NATSJetStream}, Run: c.lookAtConnection},
		{
			Name:   "the NATS server",
			Covers: []string{doctor.NATSVersion, doctor.NATSReplicas},
			Needs:  []string{doctor.NATSJetStream},
			Run:    c.lookAtVersion,
		},
		{
			Name:   "the permissions on NATS",
			Covers: []string{doctor.NATSPermissions},
			Needs:  []string{doctor.NATSJetStream},
			Run:    c.lookAtPermissions,
		},
		{
			Name:   "streams, buckets and consumers",
			Covers: []string{doctor.NATSStream, doctor.NATSBucket, doctor.NATSConsumer, doctor.NATSCluster},
			Needs:  []string{doctor.NATSJetStream},
			Run:    c.lookAtTopology,
		},
		{Name: "NATS' writes to the disk", Covers: []string{doctor.NATSSync}, Run: c.lookAtSync},
	}
}

func (c *connection) lookAtConnection(ctx context.Context, r *doctor.Recorder) error {
	if c.Client.URL == "" {
		r.NotLooked("NATS_URL is not set", doctor.NATSReachable, doctor.NATSJetStream)
		return nil
	}
	err := c.open(ctx)
	switch {
	case errors.Is(err, mesh.ErrNoJetStream):
		r.Foundf(doctor.NATSJetStream, "", "%v", err)
	case err != nil:
		r.Foundf(doctor.NATSReachable, "", "%v", err)
		r.NotLooked("NATS cannot be reached", doctor.NATSJetStream)
	}
	return nil
}

func (c *connection) lookAtVersion(_ context.Context, r *doctor.Recorder) error {
	m, err := c.get()
	if err != nil {
		return err
	}
	doctor.JudgeNATSVersion(r, m.Conn().ConnectedServerVersion())
	doctor.JudgeReplicas(r, m.Conn().ConnectedClusterName() != "", c.Topology.Replicas)
	return nil
}

func (c *connection) lookAtTopology(ctx context.Context, r *doctor.Recorder) error {
	m, err := c.get()
	if err != nil {
		return err
	}
	if err := c.checkAdmin(); err != nil {
		return err
	}
	diffs, err := topology.Plan(ctx, m.JetStream(), c.Topology)
	if err != nil {
		return err
	}
	ids := map[string]string{
		"stream": doctor.NATSStream, "bucket": doctor.NATSBucket, "consumer": doctor.NATSConsumer,
	}
	missing := map[string]bool{}
	for _, d := range diffs {
		missing[d.Name] = d.Missing
		r.Foundf(ids[d.Kind], applyCommand(c.Topology, d), "%s", d)
	}
	for _, name := range c.Topology.StreamNames() {
		if missing[strings.TrimPrefix(name, "KV_")] {
			continue
		}
		s, err := m.JetStream().Stream(ctx, name)
		if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("read stream %s: %w", name, err)
		}
		if err == nil {
			doctor.JudgeStream(r, name, s.CachedInfo().Cluster)
		}
	}
	return nil
}

// checkAdmin returns an error if the client's user may not read all streams and consumers.
func (c *connection) checkAdmin() error {
	if c.Client.Name == topology.AdminUser {
		return nil
	}
	return fmt.Errorf("the user of %s may not read all streams and consumers: use the credentials of the user %s",
		c.Client.Name, topology.AdminUser)
}

// applyCommand returns the command that removes a difference.
func applyCommand(o topology.Options, d topology.Difference) string {
	command := "driftless topology apply --account " + strings.Join(o.Accounts, ",")
	if o.Replicas > 1 {
		command += fmt.Sprintf(" --replicas %d", o.Replicas)
	}
	switch {
	case d.DataLoss != "":
		command += " --allow-data-loss"
	case d.Lowers != "":
		command += " --allow-lowering"
	}
	return command
}

// lookAtSync asks the monitoring ports, because clients do not see how the server writes to the disk.
func (c *connection) lookAtSync(ctx context.Context, r *doctor.Recorder) error {
	if c.SyncsAlways {
		r.Sawf(doctor.NATSSync, "always")
		return nil
	}
	if len(c.Monitors) == 0 {
		r.NotLooked("only the monitoring port of the server shows it: set --nats-monitor http://HOST:8222",
			doctor.NATSSync)
	}
	for _, at := range c.Monitors {
		var answer struct {
			JetStream struct {
				Config *struct {
					Interval time.Duration `json:"sync_interval"`
					Always   bool          `json:"sync_always"`
				} `json:"config"`
			} `json:"jetstream"`
		}
		if err := getJSON(ctx, strings.TrimSuffix(at, "/")+"/varz", &answer); err != nil {
			return err
		}
		switch config := answer.JetStream.Config; {
		case config == nil:
			return fmt.Errorf("the monitoring port at %s shows no JetStream", redact.URL(at))
		case !config.Always:
			r.Foundf(doctor.NATSSync, "", "the server with the monitoring port %s writes to the disk every %s",
				redact.URL(at), config.Interval)
		}
	}
	return nil
}

// maxAnswer is how much of an answer is read, in bytes.
const maxAnswer = 8 << 20

// answerLimit is how long one answer may take. A process that hangs must not hide the others.
const answerLimit = 5 * time.Second

// get returns the body of an answer with the status 200 or one of the others.
func get(ctx context.Context, url string, others ...int) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerLimit, fmt.Errorf("it took longer than %s", answerLimit))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("call %s: %w", redact.URL(url), err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("%s does not answer: %w", redact.URL(url), reason(ctx, err))
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, nil, fmt.Errorf("read the answer of %s: %w", redact.URL(url), reason(ctx, err))
	}
	if !slices.Contains(append(others, http.StatusOK), resp.StatusCode) {
		return 0, nil, fmt.Errorf("%s answers %s", redact.URL(url), resp.Status)
	}
	return resp.StatusCode, body, nil
}

// reason returns why a request failed: its time limit rather than what follows from it.
func reason(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func getJSON(ctx context.Context, url string, into any) error {
	_, body, err := get(ctx, url)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read the answer of %s: %w", redact.URL(url), err)
	}
	return nil
}
