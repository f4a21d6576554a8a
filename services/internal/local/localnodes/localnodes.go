// Package localnodes runs a cluster of three NATS servers for tests and benchmarks. Each node is its own process, which
// can be killed, frozen and started again. A program that imports the package also serves as the program of the nodes.
package localnodes

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Size is the number of nodes.
const Size = 3

// ProgramVariable names a program that runs a NATS server or a node in place of the test's own. Tests with the race
// detector are faster with a program without it, because much of their work is the server's, which is not ours.
const ProgramVariable = "DRIFTLESS_TEST_NATS"

// Recommended are the settings of the block "cluster" that docs/nats.md recommends.
const Recommended = `ping_interval: "2s"
  ping_max: 2
  write_deadline: "2s"`

// readyTimeout is the timeout until a cluster has elected its leader. A slow, busy machine takes long.
const readyTimeout = 2 * time.Minute

// configTemplate has these parameters: name, client address, directory, more settings, cluster address, routes, more
// cluster settings.
const configTemplate = `server_name: %s
listen: %q
jetstream { store_dir: %q }
%s
cluster {
  name: test
  listen: %q
  routes: [%s]
  %s
}
`

// Cluster is a cluster of three nodes. Its methods are not safe for concurrent use.
type Cluster struct {
	dir     string
	clients [Size]string
	nodes   [Size]*node
}

type node struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// Start starts the nodes with their files below dir, and returns when streams with three replicas can be created. Close
// stops them. settings are lines for the nodes' configuration files, clusterSettings for their block "cluster".
func Start(ctx context.Context, dir string, settings, clusterSettings string) (*Cluster, error) {
	c := &Cluster{dir: dir}
	var routes []string
	var clusters [Size]string
	for i := range Size {
		var err error
		if c.clients[i], err = freeAddress(); err != nil {
			return nil, err
		}
		if clusters[i], err = freeAddress(); err != nil {
			return nil, err
		}
		routes = append(routes, "nats://"+clusters[i])
	}
	for i := range Size {
		text := fmt.Sprintf(configTemplate, c.Name(i), c.clients[i], filepath.Join(dir, c.Name(i)), settings,
			clusters[i], strings.Join(routes, ", "), clusterSettings)
		if err := os.WriteFile(c.file(i), []byte(text), 0o600); err != nil {
			return nil, fmt.Errorf("write the configuration of a NATS node: %w", err)
		}
		if err := c.StartNode(i); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	if err := c.waitReady(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) file(i int) string { return filepath.Join(c.dir, fmt.Sprintf("node-%d.conf", i)) }

// URL returns the addresses of all nodes, separated by commas.
func (c *Cluster) URL() string {
	return "nats://" + strings.Join(c.clients[:], ",nats://")
}

// Name returns the server name of a node.
func (c *Cluster) Name(i int) string { return fmt.Sprintf("node-%d", i) }

// program returns the program of the nodes.
func program() (string, error) {
	if path := os.Getenv(ProgramVariable); path != "" {
		return path, nil
	}
	return os.Executable()
}

// StartNode starts a node that does not run.
func (c *Cluster) StartNode(i int) error {
	program, err := program()
	if err != nil {
		return fmt.Errorf("find the program of the NATS nodes: %w", err)
	}
	file := filepath.Join(c.dir, c.Name(i)+".log")
	log, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of a NATS node: %w", err)
	}
	defer log.Close()
	//nolint:noctx // Close ends it
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), nodeVariable+"="+c.file(i))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr)
	n := &node{cmd: cmd, ended: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The parent-death signal is about the thread that forked.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(n.ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start NATS node %d: %w", i, err)
	}
	c.nodes[i] = n
	return nil
}

// Kill kills a node, as kill -9 does, and returns when it is gone.
func (c *Cluster) Kill(i int) {
	n := c.nodes[i]
	if n == nil {
		return
	}
	_ = n.cmd.Process.Kill()
	<-n.ended
	c.nodes[i] = nil
}

// Freeze suspends a node: its connections stay open, but it answers nothing.
func (c *Cluster) Freeze(i int) error { return c.nodes[i].cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw resumes a frozen node.
func (c *Cluster) Thaw(i int) error { return c.nodes[i].cmd.Process.Signal(syscall.SIGCONT) }

// Close kills all nodes.
func (c *Cluster) Close() error {
	for i := range Size {
		c.Kill(i)
	}
	return nil
}

// WaitHealthy waits until all nodes are in the cluster and no replica of a stream lags.
func (c *Cluster) WaitHealthy(ctx context.Context) error {
	return c.retryConnected(ctx, "is complete", func(ctx context.Context, js jetstream.JetStream) error {
		names := js.StreamNames(ctx)
		for name := range names.Name() {
			s, err := js.Stream(ctx, name)
			if err != nil {
				return err
			}
			info := s.CachedInfo().Cluster
			few := s.CachedInfo().Config.Replicas == Size && (info == nil || len(info.Replicas) != Size-1)
			if info == nil || info.Leader == "" || few {
				return fmt.Errorf("stream %s has no leader", name)
			}
			for _, r := range info.Replicas {
				if !r.Current || r.Offline {
					return fmt.Errorf("replica of stream %s on %s lags", name, r.Name)
				}
			}
		}
		return names.Err()
	})
}

func (c *Cluster) waitReady(ctx context.Context) error {
	return c.retryConnected(ctx, "accepts streams", func(ctx context.Context, js jetstream.JetStream) error {
		if _, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "READY", Replicas: Size}); err != nil {
			return err
		}
		return js.DeleteStream(ctx, "READY")
	})
}

// retryConnected retries do with a connection until it succeeds.
func (c *Cluster) retryConnected(
	ctx context.Context, what string, do func(context.Context, jetstream.JetStream) error,
) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	conn, err := nats.Connect(c.URL(),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		return fmt.Errorf("connect to the NATS nodes: %w", err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	for {
		attempt, done := context.WithTimeout(ctx, 3*time.Second)
		err := do(attempt, js)
		done()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until the NATS cluster %s: %w", what, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// freeAddress returns a free local address. Its port is not an ephemeral one: while a node is down, a client that dials
// its address could get that port itself, and the node could not start again.
func freeAddress() (string, error) {
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.N(20_000))
		listener, err := net.Listen("tcp", address) //nolint:noctx // a local address
		if err == nil {
			return address, listener.Close()
		}
	}
	return "", errors.New("find a free port for a NATS node: a hundred ports are in use")
}
