package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/redact"
)

// lookAtSync asks the monitoring ports, because clients do not see how the server writes to the disk.
func (n NATS) lookAtSync(ctx context.Context, r *doctor.Recorder) error {
	if n.SyncsAlways {
		r.Sawf(doctor.NATSSync, "always")
		return nil
	}
	if len(n.Monitors) == 0 {
		r.NotLooked("only the monitoring port of the server shows it: set --nats-monitor http://HOST:8222",
			doctor.NATSSync)
	}
	for _, at := range n.Monitors {
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
