package cli

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

var (
	finished = &meshv1.ScanReport{
		Id:         "ours",
		StartedAt:  timestamppb.New(time.Unix(1, 0)),
		FinishedAt: timestamppb.New(time.Unix(2, 0)),
	}
	running = &meshv1.ScanReport{Id: "ours"}
	older   = &meshv1.ScanReport{Id: "older", FinishedAt: timestamppb.New(time.Unix(1, 0))}
	busy    = &meshv1.ScanReport{Id: "older"}
	failed  = &meshv1.ScanReport{Id: "ours", Error: "Stripe does not answer"}
)

// The control API gives one answer per second. The last one repeats.
func TestAwaitScan(t *testing.T) {
	away := connect.NewError(connect.CodeUnavailable, errors.New("does not answer"))
	for name, c := range map[string]struct {
		told  []any
		want  string
		after time.Duration
	}{
		"it ends": {[]any{older, running, finished}, "", 2 * time.Second},
		"the first one ever": {
			[]any{connect.NewError(connect.CodeNotFound, nil), running, finished},
			"",
			2 * time.Second,
		},
		"it waits for another": {append(repeat(busy, 90), older, running, finished), "", 92 * time.Second},
		"it fails": {
			[]any{running, failed},
			"the scan has failed: Stripe does not answer",
			time.Second,
		},
		"another takes its place": {[]any{running, busy}, "scan older has begun meanwhile", time.Second},
		"another's end does too":  {[]any{running, older}, "scan older has begun meanwhile", time.Second},
		"pull is away":            {[]any{older}, "pull has not begun the scan within 30s", scanStartTimeout},
		"pull is away, the first": {
			[]any{connect.NewError(connect.CodeNotFound, nil)},
			"pull has not begun the scan within 30s", scanStartTimeout,
		},
		"pull dies at it":           {[]any{running}, "too long", time.Hour},
		"pull died at another":      {[]any{busy}, "too long", time.Hour},
		"reconciliation is away":    {[]any{running, away}, "does not answer", scanStartTimeout},
		"reconciliation comes back": {[]any{running, away, away, finished}, "", 3 * time.Second},
		"not let in": {
			[]any{connect.NewError(connect.CodeUnauthenticated, errors.New("no"))},
			"unauthenticated", 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				s := &stub{getScan: func() (*controlv1.GetScanResponse, error) {
					switch told := c.told[min(int(time.Since(start)/time.Second), len(c.told)-1)].(type) {
					case error:
						return nil, told
					case *meshv1.ScanReport:
						return &controlv1.GetScanResponse{Scan: told}, nil
					default:
						return nil, errors.ErrUnsupported
					}
				}}
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, errors.New("too long"))
				defer cancel()
				_, err := awaitScan(ctx, scanClient{stub: s}, "ours", func(*meshv1.ScanReport) {})
				if c.want == "" {
					require.NoError(t, err)
				} else {
					require.ErrorContains(t, err, c.want)
				}
				require.InDelta(t, c.after, time.Since(start), float64(2*time.Second))
			})
		})
	}
}

func repeat(what any, n int) []any {
	out := make([]any, n)
	for i := range out {
		out[i] = what
	}
	return out
}

// scanClient calls the stub without a network.
type scanClient struct {
	controlv1connect.ControlServiceClient

	stub *stub
}

func (c scanClient) GetScan(ctx context.Context,
	r *connect.Request[controlv1.GetScanRequest],
) (*connect.Response[controlv1.GetScanResponse], error) {
	return c.stub.GetScan(ctx, r)
}

func TestScan_ExitCodes(t *testing.T) {
	for name, c := range map[string]struct {
		report *meshv1.ScanReport
		args   []string
		want   int
	}{
		"it ends":       {finished, nil, 0},
		"it fails":      {failed, nil, 1},
		"fails as JSON": {failed, []string{"-o", "json"}, 1},
		"it takes long": {running, []string{"--timeout", "300ms"}, 1},
		"no wait":       {running, []string{"--no-wait"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stub{
				getScan: func() (*controlv1.GetScanResponse, error) {
					return &controlv1.GetScanResponse{Scan: c.report}, nil
				},
			}
			require.Equal(t, c.want,
				Main(append([]string{"scan", "--control", s.serve(t), "--ingest", "http://127.0.0.1:1"}, c.args...)))
		})
	}
}

func TestScan_CtrlCEndsWait(t *testing.T) {
	asked := make(chan struct{}, 100)
	s := &stub{getScan: func() (*controlv1.GetScanResponse, error) {
		asked <- struct{}{}
		return &controlv1.GetScanResponse{Scan: running}, nil
	}}
	url := s.serve(t)
	code := make(chan int, 1)
	go func() { code <- Main([]string{"scan", "--control", url, "--ingest", url}) }()
	<-asked
	require.NoError(t, syscall.Kill(syscall.Getpid(), syscall.SIGINT))
	select {
	case got := <-code:
		require.Equal(t, 1, got)
	case <-time.After(10 * time.Second):
		require.FailNow(t, "it goes on waiting")
	}
}
