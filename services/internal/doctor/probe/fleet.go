package probe

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/redact"
)

// lookAtFleet judges the processes by their records. If these cannot be read, it asks the known addresses for their
// versions. The monitoring ports of NATS show whether there are others.
func (s Services) lookAtFleet(ctx context.Context, r *doctor.Recorder, monitors []string) error {
	self := doctor.Process{Service: "driftless", At: "this command", Version: s.Version}
	fleet, unread := s.readFleet(ctx)
	known := fleet.Running
	if unread == nil {
		doctor.JudgeFleet(r, fleet, self)
	} else {
		r.NotLooked("the records of the processes could not be read: "+unread.Error(), doctor.ServicesLost)
		s.noteUnknown(r, doctor.ServicesVersion)
		asked := s.askVersions(ctx, r)
		doctor.JudgeVersions(r, append([]doctor.Process{self}, asked...))
		known = doctor.Fleet{Processes: asked}.Running
	}
	connected, err := countProcesses(ctx, monitors)
	if err != nil {
		return err
	}
	for _, service := range names {
		if connected[service] > max(known(service), 1) {
			r.NotLooked(fmt.Sprintf("%d processes of %s are connected to NATS, and the version of %d is known",
				connected[service], service, known(service)), doctor.ServicesVersion)
		}
	}
	return nil
}

func (s Services) readFleet(ctx context.Context) (doctor.Fleet, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	return s.Fleet(ctx)
}

// askVersions asks all known services for their versions at once. It returns the answers in the order of the page.
func (s Services) askVersions(ctx context.Context, r *doctor.Recorder) (out []doctor.Process) {
	var mu sync.Mutex
	s.each(func(service, at string) {
		version, err := versionOf(ctx, at)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			r.NotLooked(err.Error(), doctor.ServicesVersion)
			return
		}
		out = append(out, doctor.Process{Service: service, At: redact.URL(at), Version: version})
	})
	slices.SortFunc(out, func(a, b doctor.Process) int {
		return slices.Index(names, a.Service) - slices.Index(names, b.Service)
	})
	return out
}

// countProcesses counts the connections of each service to NATS. A process has one.
func countProcesses(ctx context.Context, monitors []string) (map[string]int, error) {
	out := map[string]int{}
	for _, at := range monitors {
		var answer struct {
			Connections []struct {
				Name string `json:"name"`
			} `json:"connections"`
		}
		if err := getJSON(ctx, strings.TrimSuffix(at, "/")+"/connz?limit=10000", &answer); err != nil {
			return nil, err
		}
		for _, c := range answer.Connections {
			if service, ours := strings.CutPrefix(c.Name, "driftless-"); ours {
				out[service]++
			}
		}
	}
	return out, nil
}

// buildInfo is the metric with the version of a process.
var buildInfo = regexp.MustCompile(`^driftless_build_info\{(?:.*,)?version="((?:[^"\\]|\\.)*)"`)

// versionOf reads the version of a process from its metrics.
func versionOf(ctx context.Context, at string) (string, error) {
	url := strings.TrimSuffix(at, "/") + "/metrics"
	_, body, err := get(ctx, url)
	if err != nil {
		return "", err
	}
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, maxAnswer)
	for lines.Scan() {
		if found := buildInfo.FindStringSubmatch(lines.Text()); found != nil {
			return found[1], nil
		}
	}
	return "", fmt.Errorf("the metrics at %s do not name a version", redact.URL(url))
}
