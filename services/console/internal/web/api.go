package web

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	"github.com/driftless-sync/driftless/proto/driftless/ingest/v1/ingestv1connect"
	"github.com/driftless-sync/driftless/services/console/internal/session"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
)

// APIs makes clients of the APIs with a visitor's rights. It is safe for concurrent use.
type APIs struct {
	control, ingest string
	// token is the console's own. It acts for visitors who signed in by OpenID Connect.
	token     string
	transport http.RoundTripper
	now       func() time.Time

	mu sync.Mutex
	// known are the visitors of the last seconds, by what their requests send.
	known map[[sha256.Size]byte]identified
}

type identified struct {
	Identity
	until time.Time
}

// Identity is who a visitor is for the APIs.
type Identity struct {
	Name    string
	Role    auth.Role
	Account string
	// Open reports that the APIs require no token.
	Open bool
}

// identityLifetime is how long an identity is believed. A token that was withdrawn works no longer than that for pages;
// the APIs refuse it at once.
const identityLifetime = 10 * time.Second

// maxIdentities bounds the memory for identities.
const maxIdentities = 1000

// callTimeout is the longest time for which a page waits for a call.
const callTimeout = 30 * time.Second

// NewAPIs returns the APIs at two addresses. token is the console's own token, empty if it has none.
func NewAPIs(control, ingest, token string, now func() time.Time) *APIs {
	transport, _ := http.DefaultTransport.(*http.Transport)
	transport = transport.Clone()
	// All visitors share the connections to two servers.
	transport.MaxIdleConnsPerHost = 64
	return &APIs{
		control:   control,
		ingest:    ingest,
		token:     token,
		transport: telemetry.HTTPTransport(transport),
		now:       now,
		known:     map[[sha256.Size]byte]identified{},
	}
}

// For returns clients that act with the rights of a session.
func (a *APIs) For(s session.Session) (controlv1connect.ControlServiceClient, ingestv1connect.IngestServiceClient) {
	client := &http.Client{Transport: credentials{a, s}}
	options := connect.WithInterceptors(explainUnreachable())
	return controlv1connect.NewControlServiceClient(client, a.control, options),
		ingestv1connect.NewIngestServiceClient(client, a.ingest, options)
}

// credentials adds a visitor's token to requests, or the console's with the name and the role of the visitor.
type credentials struct {
	apis *APIs
	s    session.Session
}

func (c credentials) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	switch {
	case c.s.Actor != "":
		r.Header.Set("Authorization", "Bearer "+c.apis.token)
		r.Header.Set(auth.HeaderActor, c.s.Actor)
		r.Header.Set(auth.HeaderRole, c.s.Role)
	case c.s.Token != "":
		r.Header.Set("Authorization", "Bearer "+c.s.Token)
	}
	return c.apis.transport.RoundTrip(r)
}

// explainUnreachable gives each call a deadline, and replaces the error of an API that does not answer by one that says
// so.
func explainUnreachable() connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
			ctx, cancel := context.WithTimeout(ctx, callTimeout)
			defer cancel()
			response, err := next(ctx, r)
			var broken *net.OpError
			if errors.As(err, &broken) && ctx.Err() == nil {
				return nil, connect.NewError(connect.CodeUnavailable,
					fmt.Errorf("the service at %s does not answer: %w", r.Peer().Addr, broken.Err))
			}
			return response, err
		}
	}
}

// Identify asks the control API who a visitor is. It remembers the answer for some seconds.
func (a *APIs) Identify(ctx context.Context, s session.Session, control controlv1connect.ControlServiceClient,
) (Identity, error) {
	key := sha256.Sum256([]byte(s.Token + "\x00" + s.Actor + "\x00" + s.Role))
	now := a.now()
	a.mu.Lock()
	found, ok := a.known[key]
	a.mu.Unlock()
	if ok && now.Before(found.until) {
		return found.Identity, nil
	}
	answer, err := control.WhoAmI(ctx, connect.NewRequest(&controlv1.WhoAmIRequest{}))
	if err != nil {
		return Identity{}, err
	}
	role, err := auth.ParseRole(answer.Msg.GetRole())
	if err != nil {
		return Identity{}, fmt.Errorf("reconciliation gives the visitor a role that the console does not know: %w", err)
	}
	who := Identity{
		Name:    answer.Msg.GetRecordedAs(),
		Role:    role,
		Account: answer.Msg.GetAccount(),
		Open:    answer.Msg.GetOpen(),
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.known) >= maxIdentities {
		clear(a.known)
	}
	a.known[key] = identified{who, now.Add(identityLifetime)}
	return who, nil
}

// Away returns why the control API cannot be reached, "" if it answers. An answer that asks for a token is one. It
// waits at most two seconds, less than the probes of Kubernetes do.
func (a *APIs) Away(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	control, _ := a.For(session.Session{})
	_, err := control.WhoAmI(ctx, connect.NewRequest(&controlv1.WhoAmIRequest{}))
	if err == nil || connect.CodeOf(err) == connect.CodeUnauthenticated {
		return ""
	}
	return fmt.Sprintf("the control API at %s is away, and pages say so: %s", a.control, Explain(err))
}
