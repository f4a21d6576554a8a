package mesh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

const (
	// awaitInterval is the delay between two attempts of await.
	awaitInterval = 250 * time.Millisecond
	// answerTimeout is how long one attempt waits for an answer.
	answerTimeout = 3 * time.Second
)

// Error codes of JetStream.
const (
	codeNoPeers  jetstream.ErrorCode = 10005
	codeNoLeader jetstream.ErrorCode = 10008
	unavailable                      = 503
)

// await calls do again while a cluster that has just started is not ready for it. It logs each reason once. It gives up
// after patience; 0 means one attempt.
func (m *Mesh) await(ctx context.Context, patience time.Duration, do func(context.Context) error) error {
	began := time.Now()
	logged := ""
	for {
		err := do(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		why := m.missingAtStart(err)
		switch {
		case why == "" || patience == 0:
			return err
		case time.Since(began) > patience:
			return fmt.Errorf("waited %s for the NATS cluster (%s): %w", patience, why, err)
		case why != logged:
			m.logger.WarnContext(ctx, "waiting for the NATS cluster", "for", why, "at_most", patience, "error", err)
			logged = why
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(awaitInterval):
		}
	}
}

// missingAtStart returns what a starting cluster lacks, judged by the error of a request. It returns "" if waiting does
// not help.
func (m *Mesh) missingAtStart(err error) string {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		switch {
		case api.ErrorCode == codeNoLeader:
			return "its leader"
		case api.ErrorCode == codeNoPeers, api.Code == unavailable && m.clustered():
			return "enough of its servers for the replicas and the placement"
		}
		return ""
	}
	switch {
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrJetStreamNotEnabled),
		errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, nats.ErrTimeout):
		if m.clustered() {
			return "JetStream to answer"
		}
	}
	return ""
}

func (m *Mesh) clustered() bool { return m.nc.ConnectedClusterName() != "" }

// ApplyTopology is topology.Apply for a cluster that may have just started. It waits at most patience for the cluster
// to elect a leader and to have enough servers for all replicas.
func (m *Mesh) ApplyTopology(ctx context.Context, o topology.Options, patience time.Duration) error {
	tell := o.OnKept
	var kept []topology.Difference
	o.OnKept = func(d topology.Difference) { kept = append(kept, d) }
	err := m.await(ctx, patience, func(ctx context.Context) error {
		kept = nil
		return topology.Apply(ctx, m.js, o)
	})
	if err == nil && tell != nil {
		for _, d := range kept {
			tell(d)
		}
	}
	return err
}
