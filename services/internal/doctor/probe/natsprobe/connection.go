// Package natsprobe asks NATS. It changes nothing there.
package natsprobe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Config says how to reach NATS, and what it should have.
type Config struct {
	// Client connects. Its name is that of the user whose permissions are checked.
	Client mesh.Config
	// Topology is what the server should have.
	Topology topology.Options
	// Now is the clock of this machine. Defaults to time.Now.
	Now func() time.Time
}

// Connection is the connection that all probes of NATS share. It connects when a probe needs it. Safe for concurrent
// use.
type Connection struct {
	Config

	mu   sync.Mutex
	mesh *mesh.Mesh
}

// New returns a connection that is not open yet.
func New(cfg Config) *Connection {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Connection{Config: cfg}
}

func (c *Connection) open(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mesh != nil {
		return nil
	}
	m, err := mesh.Connect(ctx, c.Client)
	c.mesh = m
	return err
}

// Get returns the connection. It is an error if no probe has opened it.
func (c *Connection) Get() (*mesh.Mesh, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mesh == nil {
		return nil, errors.New("there is no connection to NATS")
	}
	return c.mesh, nil
}

// Close closes the connection if it is open.
func (c *Connection) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mesh != nil {
		c.mesh.Close()
	}
}

// Probes returns the probes of NATS.
func (c *Connection) Probes() []doctor.Probe {
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
	}
}

func (c *Connection) lookAtConnection(ctx context.Context, r *doctor.Recorder) error {
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

func (c *Connection) lookAtVersion(_ context.Context, r *doctor.Recorder) error {
	m, err := c.Get()
	if err != nil {
		return err
	}
	doctor.JudgeNATSVersion(r, m.Conn().ConnectedServerVersion())
	doctor.JudgeReplicas(r, m.Conn().ConnectedClusterName() != "", c.Topology.Replicas)
	return nil
}

func (c *Connection) lookAtTopology(ctx context.Context, r *doctor.Recorder) error {
	m, err := c.Get()
	if err != nil {
		return err
	}
	if err := c.CheckAdmin(); err != nil {
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

// CheckAdmin returns an error if the client's user may not read all streams and consumers.
func (c *Connection) CheckAdmin() error {
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

// StripeMode returns the mode of Stripe that an account of the mesh was set up in, "" if it has none yet.
func (c *Connection) StripeMode(ctx context.Context, account string) (string, error) {
	m, err := c.Get()
	if err != nil {
		return "", err
	}
	return state.New(m).Record(topology.KeyStripeMode, account).GetString(ctx)
}

// clockStream is a stream that every user may ask about.
const clockStream = "KV_" + topology.BucketCursor

// Clock returns the clock of the NATS server.
func (c *Connection) Clock() doctor.Clock {
	return doctor.Clock{ID: doctor.ClocksNATS, Name: "the NATS server", Read: c.readClock}
}

func (c *Connection) readClock(ctx context.Context) (time.Duration, error) {
	if c.Client.URL == "" {
		return 0, errors.New("NATS_URL is not set")
	}
	if err := c.open(ctx); err != nil {
		return 0, err
	}
	m, err := c.Get()
	if err != nil {
		return 0, err
	}
	return ReadClock(ctx, m, c.Now)
}

// ReadClock returns how far the clock of the NATS server is ahead of now, the clock of this machine. The clock of the
// mesh is not asked: it keeps what it measured before.
func ReadClock(ctx context.Context, m *mesh.Mesh, now func() time.Time) (time.Duration, error) {
	stream, err := m.JetStream().Stream(ctx, clockStream)
	if err != nil {
		return 0, fmt.Errorf("read the time of the NATS server: %w", err)
	}
	sent := now()
	info, err := stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the time of the NATS server: %w", err)
	}
	return doctor.Ahead(sent, now(), info.TimeStamp), nil
}
