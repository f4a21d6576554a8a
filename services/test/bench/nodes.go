package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/driftless-sync/driftless/services/internal/local/localnodes"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

type nodesCmd struct {
	Seconds int  `default:"12" help:"How long a node is away. An election takes up to 9 s."`
	Rounds  int  `default:"1" help:"How often each node is killed, and frozen."`
	Default bool `help:"Run the cluster with the server's default settings instead of the recommended ones."`
}

type nodesResult struct {
	// LongestMs is the longest wait in all phases with a node away, for the mesh and for the bare client.
	LongestMs     float64      `json:"longest_ms"`
	BareLongestMs float64      `json:"bare_longest_ms"`
	Ratio         float64      `json:"ratio"`
	Phases        []nodesPhase `json:"phases"`
}

type nodesPhase struct {
	Name string `json:"name"`
	// The number of changes that were begun, and the longest wait of one, in milliseconds.
	Changes   int     `json:"changes"`
	LongestMs float64 `json:"longest_ms"`
	// Bare has the same figures of the bare client.
	Bare          int     `json:"bare"`
	BareLongestMs float64 `json:"bare_longest_ms"`
}

func (cmd *nodesCmd) Run(ctx context.Context, c *cli) (err error) {
	dir, err := os.MkdirTemp("", "driftless-bench-nodes-")
	if err != nil {
		return fmt.Errorf("make a data directory: %w", err)
	}
	b := &pushBench{}
	b.close = append(b.close, func() error { return os.RemoveAll(dir) })
	defer func() { err = errors.Join(err, b.stop()) }()
	settings := localnodes.Recommended
	if cmd.Default {
		settings = ""
	}
	nodes, err := localnodes.Start(ctx, dir, "", settings)
	if err != nil {
		return err
	}
	b.close = append(b.close, nodes.Close)
	b.limits.PerSecond, b.limits.PerEndpoint = benchRate, benchRate
	sim := stripesim.Config{Limits: stripesim.Limits{Off: true}}
	if err := b.createMesh(ctx, nodes.URL(), localnodes.Size, sim); err != nil {
		return err
	}
	for range 2 {
		b.push(ctx)
	}
	bare, err := newBareClient(ctx, nodes.URL())
	if err != nil {
		return err
	}
	defer bare.conn.Close()

	changes, messages := &waitRecorder{}, &waitRecorder{}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, working := errgroup.WithContext(ctx)
	g.Go(func() error { return changes.repeat(working, b.change) })
	g.Go(func() error { return messages.repeat(working, bare.roundTrip) })
	r, err := cmd.phases(working, nodes, changes, messages)
	stop()
	if ended := g.Wait(); ended != nil {
		return ended
	}
	if err != nil {
		return err
	}
	return c.report(r.text(), r)
}

// phases stops each node in turn and brings it back.
func (cmd *nodesCmd) phases(
	ctx context.Context, nodes *localnodes.Cluster, changes, messages *waitRecorder,
) (*nodesResult, error) {
	r := &nodesResult{}
	away := time.Duration(cmd.Seconds) * time.Second
	phase := func(name string, leave, back func() error) error {
		if err := nodes.WaitHealthy(ctx); err != nil {
			return err
		}
		changes.reset()
		messages.reset()
		if err := errors.Join(leave(), rest(ctx, away), back(), nodes.WaitHealthy(ctx)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		p := nodesPhase{Name: name}
		p.Changes, p.LongestMs = changes.seen()
		p.Bare, p.BareLongestMs = messages.seen()
		r.Phases = append(r.Phases, p)
		return nil
	}
	nothing := func() error { return nil }
	if err := phase("all nodes", nothing, nothing); err != nil {
		return nil, err
	}
	for range cmd.Rounds {
		for i := range localnodes.Size {
			kill := func() error { nodes.Kill(i); return nil }
			start := func() error { return nodes.StartNode(i) }
			if err := phase(fmt.Sprintf("node %d killed", i), kill, start); err != nil {
				return nil, err
			}
			freeze := func() error { return nodes.Freeze(i) }
			thaw := func() error { return nodes.Thaw(i) }
			if err := phase(fmt.Sprintf("node %d frozen", i), freeze, thaw); err != nil {
				return nil, err
			}
		}
	}
	for _, p := range r.Phases[1:] {
		r.LongestMs, r.BareLongestMs = max(r.LongestMs, p.LongestMs), max(r.BareLongestMs, p.BareLongestMs)
	}
	r.Ratio = r.LongestMs / r.BareLongestMs
	return r, nil
}

func (r *nodesResult) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-16s  %18s  %18s\n", "", "mesh: longest wait", "bare client")
	for _, p := range r.Phases {
		fmt.Fprintf(&b, "%-16s  %16.2f s  %16.2f s\n", p.Name, p.LongestMs/1000, p.BareLongestMs/1000)
	}
	fmt.Fprintf(&b, "longest: %.2f s, of the bare client %.2f s, ratio %.2f\n",
		r.LongestMs/1000, r.BareLongestMs/1000, r.Ratio)
	return b.String()
}

// change is a live change: from its publishing to Stripe.
func (b *pushBench) change(ctx context.Context, n int) error {
	name := fmt.Sprintf("Edition %d", n)
	for b.publish(ctx, topology.Live, uint64(n), benchProduct("nodes", name, "1400")) != nil {
		if err := rest(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	for {
		if held, err := b.productName(ctx, "nodes"); err == nil && held == name {
			return nil
		}
		if err := rest(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}
