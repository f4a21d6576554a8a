package probe

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/doctor/probe/natsprobe"
	"github.com/driftless-sync/driftless/services/internal/redact"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Services says where the services of the mesh are.
type Services struct {
	// Addresses are those of the services' HTTP servers by name, such as http://10.0.0.1:8081. A service whose address
	// is unknown is missing.
	Addresses map[string]string
	// Version is the version of this program.
	Version string
	// Fleet returns all processes of the mesh, by the records that they write.
	Fleet func(ctx context.Context) (doctor.Fleet, error)
	// Paused returns the services that somebody paused.
	Paused func(ctx context.Context) ([]string, error)
	// CheckTokens calls each API with the token. It returns the refusals of the APIs, and an error if an API could not
	// be asked.
	CheckTokens func(ctx context.Context) (refused []string, err error)

	patience time.Duration
}

// names are the services, in the order of the page.
var names = []string{topology.Ingestion, topology.Push, topology.Pull, topology.Reconciliation}

func (s Services) probes(nats *natsprobe.Connection, monitors []string) []doctor.Probe {
	return []doctor.Probe{
		{
			Name:   "who takes messages",
			Covers: []string{doctor.ServicesRunning},
			Needs:  []string{doctor.NATSJetStream},
			Run:    func(ctx context.Context, r *doctor.Recorder) error { return s.lookAtConsumers(ctx, r, nats) },
		},
		{
			Name:   "the addresses of the services",
			Covers: []string{doctor.ServicesReachable, doctor.ServicesReady},
			Run:    s.lookAtReady,
		},
		{
			Name:   "processes and versions",
			Covers: []string{doctor.ServicesVersion, doctor.ServicesLost},
			Run: func(ctx context.Context, r *doctor.Recorder) error {
				return s.lookAtFleet(ctx, r, monitors)
			},
		},
		{Name: "the tokens of the APIs", Covers: []string{doctor.ServicesToken}, Run: s.lookAtTokens},
	}
}

// lookAtConsumers watches each consumer until a process asks for a message.
func (s Services) lookAtConsumers(ctx context.Context, r *doctor.Recorder, nats *natsprobe.Connection) error {
	m, err := nats.Get()
	if err != nil {
		return err
	}
	if err := nats.CheckAdmin(); err != nil {
		return err
	}
	var facts []doctor.ConsumerFacts
	for _, account := range nats.Topology.Accounts {
		for _, c := range topology.Consumers {
			service, _, _ := strings.Cut(c.Name, "-")
			name := c.Stream + "/" + c.Durable(account)
			facts = append(facts, doctor.ConsumerFacts{Service: service, Name: name})
		}
	}
	first := make([]*jetstream.ConsumerInfo, len(facts))
	err = doctor.Until(ctx, s.patience, func() (bool, error) {
		all := true
		for i := range facts {
			if facts[i].IsAsking {
				continue
			}
			stream, durable, _ := strings.Cut(facts[i].Name, "/")
			cons, err := m.JetStream().Consumer(ctx, stream, durable)
			if err != nil {
				return false, fmt.Errorf("read consumer %s: %w", facts[i].Name, err)
			}
			info := cons.CachedInfo()
			if first[i] == nil {
				first[i] = info
			}
			facts[i].IsAsking, facts[i].IsPaused = info.NumWaiting > 0, info.Paused
			facts[i].HasMoved = info.Delivered.Consumer > first[i].Delivered.Consumer ||
				info.AckFloor.Consumer > first[i].AckFloor.Consumer
			facts[i].InFlight, facts[i].Pending = uint64(max(info.NumAckPending, 0)), info.NumPending
			all = all && (facts[i].IsAsking || info.Paused)
		}
		return all, nil
	})
	if err != nil {
		return err
	}
	var paused []string
	if slices.ContainsFunc(facts, func(c doctor.ConsumerFacts) bool { return !c.IsAsking }) {
		if paused, err = s.askPaused(ctx); err != nil {
			// The finding says that a pause has the same effect.
			paused = nil
		}
	}
	doctor.JudgeConsumers(r, facts, paused)
	return nil
}

func (s Services) askPaused(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	return s.Paused(ctx)
}

// lookAtReady asks every known service whether it is ready, all at once: one that hangs delays no other.
func (s Services) lookAtReady(ctx context.Context, r *doctor.Recorder) error {
	s.noteUnknown(r, doctor.ServicesReachable, doctor.ServicesReady)
	s.each(func(service, at string) { s.lookAtOne(ctx, r, service, at) })
	return nil
}

// each calls do with every known service, concurrently, and waits.
func (s Services) each(do func(service, at string)) {
	var all sync.WaitGroup
	for service, at := range s.Addresses {
		all.Go(func() { do(service, at) })
	}
	all.Wait()
}

// lookAtOne asks a service whether it is ready. One that restarts has a moment.
func (s Services) lookAtOne(ctx context.Context, r *doctor.Recorder, service, at string) {
	var down error
	var reason string
	_ = doctor.Until(ctx, s.patience, func() (bool, error) {
		reason, down = readiness(ctx, at)
		return down == nil && reason == "", nil
	})
	switch {
	case down != nil:
		r.Foundf(doctor.ServicesReachable, "", "%s does not answer: %v", service, down)
		r.NotLooked(service+" does not answer", doctor.ServicesReady)
	case reason != "":
		r.Foundf(doctor.ServicesReady, "", "%s at %s is not ready: %s", service, redact.URL(at), reason)
	}
}

// addressFlags are the flags with the addresses of the services.
var addressFlags = map[string]string{
	topology.Ingestion:      "--ingest",
	topology.Push:           "--push",
	topology.Pull:           "--pull",
	topology.Reconciliation: "--control",
}

// noteUnknown records that services were not asked, because their addresses are unknown.
func (s Services) noteUnknown(r *doctor.Recorder, ids ...string) {
	var services, flags []string
	for _, service := range names {
		if _, known := s.Addresses[service]; !known {
			services, flags = append(services, service), append(flags, addressFlags[service])
		}
	}
	if len(services) > 0 {
		r.NotLooked(fmt.Sprintf("no address is known of %s: set %s", strings.Join(services, ", "),
			strings.Join(flags, ", ")), ids...)
	}
}

// readiness returns why a service is not ready, or "". An error means that it does not answer.
func readiness(ctx context.Context, at string) (reason string, err error) {
	status, body, err := get(ctx, strings.TrimSuffix(at, "/")+"/readyz", http.StatusServiceUnavailable)
	if err != nil || status == http.StatusOK {
		return "", err
	}
	var answer struct {
		Reason string `json:"reason"`
	}
	// A proxy's page is no JSON. Its answer counts all the same.
	_ = json.Unmarshal(body, &answer)
	return cmp.Or(answer.Reason, "it gives no reason"), nil
}

func (s Services) lookAtTokens(ctx context.Context, r *doctor.Recorder) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	refused, err := s.CheckTokens(ctx)
	for _, message := range refused {
		r.Foundf(doctor.ServicesToken, "", "%s", message)
	}
	return err
}
