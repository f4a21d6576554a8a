package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	"github.com/driftless-sync/driftless/proto/driftless/ingest/v1/ingestv1connect"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// address says where a command finds the mesh: at the addresses of the flags, or else on the data directory.
type address struct {
	Control string `name:"control" env:"DRIFTLESS_CONTROL_URL" placeholder:"URL" help:"Address of the control API. Defaults to the mesh on the data directory."`
	Ingest  string `name:"ingest" env:"DRIFTLESS_INGEST_URL" placeholder:"URL" help:"Address of the ingestion API. Defaults to the mesh on the data directory."`
}

// target is the address of an API and the token that it asks for.
type target struct {
	url, token string
	// isLocal reports whether it is that of the mesh on the data directory.
	isLocal bool
}

// targets returns the targets of both APIs. The token of the mesh on the data directory is sent only to that mesh: an
// address from a flag may belong to another one.
func (a address) targets(c *cli) (control, ingest target, err error) {
	control, ingest = target{url: a.Control}, target{url: a.Ingest}
	e, err := findMesh(c.DataDir)
	switch {
	case err != nil && a.Control == "" && a.Ingest == "":
		return control, ingest, err
	case err == nil:
		control, ingest = control.orDefault(e.Control, e.Token), ingest.orDefault(e.Ingest, e.Token)
	}
	if c.Token != "" {
		control.token, ingest.token = c.Token.Reveal(), c.Token.Reveal()
	}
	return control, ingest, nil
}

func (t target) orDefault(url, token string) target {
	if t.url == "" || strings.TrimSuffix(t.url, "/") == url {
		return target{url: url, token: token, isLocal: true}
	}
	return t
}

func (a address) control(c *cli) (controlv1connect.ControlServiceClient, error) {
	found, _, err := a.targets(c)
	if err != nil {
		return nil, err
	}
	if found.url == "" {
		return nil, errors.New("the address of the control API is unknown: set --control")
	}
	interceptors := connect.WithInterceptors(withDefaultTimeout(), explainUnreachable("control", found))
	return controlv1connect.NewControlServiceClient(found.client(), found.url, interceptors), nil
}

func (a address) ingest(c *cli) (ingestv1connect.IngestServiceClient, error) {
	_, found, err := a.targets(c)
	if err != nil {
		return nil, err
	}
	if found.url == "" {
		return nil, errors.New("the address of the ingestion API is unknown: set --ingest")
	}
	interceptors := connect.WithInterceptors(withDefaultTimeout(), explainUnreachable("ingestion", found))
	return ingestv1connect.NewIngestServiceClient(found.client(), found.url, interceptors), nil
}

// client returns an HTTP client without a timeout: withDefaultTimeout gives one to each call.
func (t target) client() *http.Client {
	return &http.Client{Transport: bearer{t.token}}
}

// defaultCallTimeout is the timeout of a call whose context has no deadline.
const defaultCallTimeout = 2 * time.Minute

func withDefaultTimeout() connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
			if _, has := ctx.Deadline(); !has {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, defaultCallTimeout)
				defer cancel()
			}
			return next(ctx, r)
		}
	}
}

type bearer struct{ token string }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// retryUnavailable repeats a call while the service is unavailable. A service is unavailable for a moment when it
// restarts.
func retryUnavailable(ctx context.Context, call func() error) error {
	for {
		err := call()
		if err == nil || connect.CodeOf(err) != connect.CodeUnavailable {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// explainUnreachable replaces the error of a service that does not answer, or refuses the token, by one that says what
// to do. A connection that breaks during a call, as when the service is killed, counts as unavailable whatever code the
// client gives it.
func explainUnreachable(api string, of target) connect.UnaryInterceptorFunc {
	url := of.url
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
			resp, err := next(ctx, r)
			var opErr *net.OpError
			switch broken := errors.As(err, &opErr) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF); {
			case connect.CodeOf(err) == connect.CodeUnauthenticated:
				return nil, connect.NewError(connect.CodeUnauthenticated,
					errors.New("the "+api+" API at "+url+" refuses the token: "+refusedToken(err)))
			case !broken || ctx.Err() != nil:
			case opErr == nil || opErr.Op != "dial":
				return nil, connect.NewError(connect.CodeUnavailable,
					fmt.Errorf("the connection to the %s API at %s broke: %w", api, url, err))
			default:
				return nil, connect.NewError(connect.CodeUnavailable,
					errors.New("the "+api+" API at "+url+" does not answer: "+of.absentHint(api)))
			}
			return resp, err
		}
	}
}

// absentHint says what to do if nothing listens at the address of an API.
func (t target) absentHint(api string) string {
	if t.isLocal {
		return "is the mesh running? (driftless up)"
	}
	service := topology.Ingestion
	if api == "control" {
		service = topology.Reconciliation
	}
	return "does " + service + " run, and is this its address? See docs/runbooks/DriftlessServiceDown.md"
}

// refusedToken says what to do about a token that an API has refused. An expired token is named by the API.
func refusedToken(err error) string {
	if refusal, ok := errors.AsType[*connect.Error](err); ok && refusal.Meta().Get(auth.HeaderExpired) != "" {
		return refusal.Message()
	}
	return "set the one of its mesh in DRIFTLESS_TOKEN"
}

// isNextPage reports whether there is another page after the one that began after an id. Ids are not compared by their
// order: the ledger's database has its own.
func isNextPage(next, after string) bool { return next != "" && next != after }
