package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
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

func (a address) find(c *cli) (address, error) {
	if a.Control != "" && a.Ingest != "" {
		return a, nil
	}
	e, err := findMesh(c.DataDir)
	if err != nil {
		if a.Control != "" || a.Ingest != "" {
			return a, nil
		}
		return a, err
	}
	if a.Control == "" {
		a.Control = e.Control
	}
	if a.Ingest == "" {
		a.Ingest = e.Ingest
	}
	return a, nil
}

func (a address) control(c *cli) (controlv1connect.ControlServiceClient, error) {
	found, err := a.find(c)
	if err != nil {
		return nil, err
	}
	if found.Control == "" {
		return nil, errors.New("the address of the control API is not known: give it with --control")
	}
	return controlv1connect.NewControlServiceClient(httpClient(c), found.Control, connect.WithInterceptors(limit(), explain("control", found.Control))), nil
}

func (a address) ingest(c *cli) (ingestv1connect.IngestServiceClient, error) {
	found, err := a.find(c)
	if err != nil {
		return nil, err
	}
	if found.Ingest == "" {
		return nil, errors.New("the address of the ingestion API is not known: give it with --ingest")
	}
	return ingestv1connect.NewIngestServiceClient(httpClient(c), found.Ingest, connect.WithInterceptors(limit(), explain("ingestion", found.Ingest))), nil
}

// httpClient has no deadline of its own: limit gives one to each call.
func httpClient(c *cli) *http.Client {
	return &http.Client{Transport: bearer{c.Token.Reveal()}}
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
	return http.DefaultTransport.RoundTrip(r) //nolint:wrapcheck // a transport passes its inner transport's error on
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

// explain says in a sentence that a service does not answer, and what to do. A connection that breaks in the middle of a call, as
// when the service is killed, is that too, whatever code the client has for it.
func explain(api, url string) connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
			resp, err := next(ctx, r)
			var opErr *net.OpError
			switch broken := errors.As(err, &opErr) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF); {
			case !broken || ctx.Err() != nil:
			case opErr == nil || opErr.Op != "dial":
				return nil, connect.NewError(connect.CodeUnavailable, fmt.Errorf("the connection to the %s API at %s broke: %w", api, url, err))
			default:
				return nil, connect.NewError(connect.CodeUnavailable, errors.New("the "+api+" API at "+url+" does not answer: is the mesh running? (driftless up)"))
			}
			return resp, err
		}
	}
}
