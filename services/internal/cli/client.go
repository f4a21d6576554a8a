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
)

// address is where a command finds the mesh: flags, or else the mesh on the data directory.
type address struct {
	Control string `name:"control" env:"DRIFTLESS_CONTROL_URL" placeholder:"URL" help:"Address of the control API; that of the mesh on the data directory if not given."`
	Ingest  string `name:"ingest" env:"DRIFTLESS_INGEST_URL" placeholder:"URL" help:"Address of the ingestion API; that of the mesh on the data directory if not given."`
}

// place is an address, with the token that its mesh asks for.
type place struct {
	url, token string
}

// find returns where the APIs are. An address that is given may be of any mesh: it gets the token of the mesh on the
// data directory only if it is that one's.
func (a address) find(c *cli) (control, ingest place, err error) {
	control, ingest = place{url: a.Control}, place{url: a.Ingest}
	e, err := findMesh(c.DataDir)
	switch {
	case err != nil && a.Control == "" && a.Ingest == "":
		return control, ingest, err
	case err == nil:
		control, ingest = control.orOf(e.Control, e.Token), ingest.orOf(e.Ingest, e.Token)
	}
	if c.Token != "" {
		control.token, ingest.token = c.Token.Reveal(), c.Token.Reveal()
	}
	return control, ingest, nil
}

func (p place) orOf(url, token string) place {
	if p.url == "" || strings.TrimSuffix(p.url, "/") == url {
		return place{url: url, token: token}
	}
	return p
}

func (a address) control(c *cli) (controlv1connect.ControlServiceClient, error) {
	found, _, err := a.find(c)
	if err != nil {
		return nil, err
	}
	if found.url == "" {
		return nil, errors.New("the address of the control API is not known: give it with --control")
	}
	interceptors := connect.WithInterceptors(limit(), explain("control", found.url))
	return controlv1connect.NewControlServiceClient(found.client(), found.url, interceptors), nil
}

func (a address) ingest(c *cli) (ingestv1connect.IngestServiceClient, error) {
	_, found, err := a.find(c)
	if err != nil {
		return nil, err
	}
	if found.url == "" {
		return nil, errors.New("the address of the ingestion API is not known: give it with --ingest")
	}
	interceptors := connect.WithInterceptors(limit(), explain("ingestion", found.url))
	return ingestv1connect.NewIngestServiceClient(found.client(), found.url, interceptors), nil
}

// client has no deadline of its own: limit gives one to each call.
func (p place) client() *http.Client {
	return &http.Client{Transport: bearer{p.token}}
}

// callLimit is how long a call may take that has no other deadline.
const callLimit = 2 * time.Minute

func limit() connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
			if _, has := ctx.Deadline(); !has {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, callLimit)
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

// patiently repeats a call while the service is away, as it is for a moment when it is started again.
func patiently(ctx context.Context, call func() error) error {
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

// explain says in a sentence that a service does not answer, and what to do. A connection that breaks in the middle of
// a call, as when the service is killed, is that too, whatever code the client has for it.
func explain(api, url string) connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
			resp, err := next(ctx, r)
			var opErr *net.OpError
			switch broken := errors.As(err, &opErr) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF); {
			case !broken || ctx.Err() != nil:
			case opErr == nil || opErr.Op != "dial":
				return nil, connect.NewError(connect.CodeUnavailable,
					fmt.Errorf("the connection to the %s API at %s broke: %w", api, url, err))
			default:
				return nil, connect.NewError(connect.CodeUnavailable,
					errors.New("the "+api+" API at "+url+" does not answer: is the mesh running? (driftless up)"))
			}
			return resp, err
		}
	}
}
