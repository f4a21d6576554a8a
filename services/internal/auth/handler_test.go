package auth

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
)

// echo answers with the principal of the call.
type echo struct {
	controlv1connect.UnimplementedControlServiceHandler
}

func (echo) WhoAmI(ctx context.Context,
	_ *connect.Request[controlv1.WhoAmIRequest],
) (*connect.Response[controlv1.WhoAmIResponse], error) {
	p := From(ctx)
	return connect.NewResponse(&controlv1.WhoAmIResponse{RecordedAs: p.Name(), Role: p.Role.String()}), nil
}

func (echo) Rollback(context.Context,
	*connect.Request[controlv1.RollbackRequest],
) (*connect.Response[controlv1.RollbackResponse], error) {
	return connect.NewResponse(&controlv1.RollbackResponse{}), nil
}

func (echo) Approve(context.Context,
	*connect.Request[controlv1.ApproveRequest],
) (*connect.Response[controlv1.ApproveResponse], error) {
	return connect.NewResponse(&controlv1.ApproveResponse{}), nil
}

// serveEcho serves the control API with the tokens.
func serveEcho(t *testing.T, tokens *Tokens) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(controlv1connect.NewControlServiceHandler(echo{}, connect.WithInterceptors(Control.Interceptor())))
	server := httptest.NewUnstartedServer(tokens.Handler(mux))
	server.EnableHTTP2 = true
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// headers are sent with each call.
type headers map[string]string

func (h headers) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, value := range h {
		r.Header.Set(name, value)
	}
	return http.DefaultTransport.RoundTrip(r)
}

func (h headers) client(url string, options ...connect.ClientOption) controlv1connect.ControlServiceClient {
	return controlv1connect.NewControlServiceClient(&http.Client{Transport: h}, url, options...)
}

func TestTokensHandler_AcceptsTheSchemeInAnyCase(t *testing.T) {
	tokens, _, _ := newTokens(t, Settings{Token: "s3cret"})
	handler := tokens.Handler(
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for header, want := range map[string]int{
		"Bearer s3cret": http.StatusNoContent, "bearer s3cret": http.StatusNoContent,
		"BEARER  s3cret": http.StatusNoContent,
		"":               http.StatusUnauthorized, "s3cret": http.StatusUnauthorized, "Bearer": http.StatusUnauthorized,
		"Bearer ":      http.StatusUnauthorized,
		"Basic s3cret": http.StatusUnauthorized, "Bearer S3CRET": http.StatusUnauthorized,
		"Bearer s3cret x": http.StatusUnauthorized,
		"Bearers3cret":    http.StatusUnauthorized, "Bearer s3cre": http.StatusUnauthorized,
	} {
		answer := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(""))
		r.Header.Set("Authorization", header)
		handler.ServeHTTP(answer, r)
		require.Equal(t, want, answer.Code, "%q", header)
		if want == http.StatusUnauthorized {
			require.Equal(t, "Bearer", answer.Header().Get("WWW-Authenticate"))
			var body map[string]string
			require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &body))
			require.Equal(t, "unauthenticated", body["code"])
		}
	}
}

// TestTokensHandler_RefusesInEveryProtocol: each client sees the code and the message.
func TestTokensHandler_RefusesInEveryProtocol(t *testing.T) {
	expired := NewToken()
	tokens, clock, _ := newTokens(t, Settings{Token: "s3cret", Tokens: Entries{
		{Name: "old", Role: Read, Hash: hashOf(t, expired), Expires: time.Now().Add(time.Hour)},
	}.String()})
	clock.at = time.Now().Add(2 * time.Hour)
	url := serveEcho(t, tokens)
	for name, option := range map[string]connect.ClientOption{
		"connect":  connect.WithProtoJSON(),
		"grpc-web": connect.WithGRPCWeb(),
		"gzip":     connect.WithSendGzip(),
	} {
		_, err := headers{}.client(url, option).WhoAmI(t.Context(), connect.NewRequest(&controlv1.WhoAmIRequest{}))
		require.Equal(t, connect.CodeUnauthenticated, connect.CodeOf(err), name)
		require.ErrorContains(t, err, "Authorization: Bearer TOKEN", name)
		_, err = headers{"Authorization": "Bearer " + expired}.client(url, option).WhoAmI(t.Context(),
			connect.NewRequest(&controlv1.WhoAmIRequest{}))
		require.ErrorContains(t, err, "the token old expired", name)
		refusal := &connect.Error{}
		require.ErrorAs(t, err, &refusal)
		require.Equal(t, "true", refusal.Meta().Get(HeaderExpired), name)
	}
	answer := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(""))
	r.Header.Set("Authorization", "Bearer "+expired)
	tokens.Handler(http.NotFoundHandler()).ServeHTTP(answer, r)
	require.Equal(t, http.StatusUnauthorized, answer.Code)
	require.Equal(t, "true", answer.Header().Get(HeaderExpired), "in no protocol of Connect")
}

func TestTokensHandler_Delegates(t *testing.T) {
	console, ci := NewToken(), NewToken()
	tokens, _, _ := newTokens(t, Settings{Token: "unnamed", Tokens: Entries{
		{Name: "console", Role: Operate, Hash: hashOf(t, console), Delegate: true},
		{Name: "ci", Role: Approve, Hash: hashOf(t, ci)},
	}.String()})
	url := serveEcho(t, tokens)
	for name, c := range map[string]struct {
		token, actor, role string
		want               string
		code               connect.Code
	}{
		"itself":              {token: console, want: "console operate"},
		"on behalf":           {token: console, actor: "ann", want: "ann (by console) operate"},
		"with a lower role":   {token: console, actor: "ann", role: "read", want: "ann (by console) read"},
		"with a higher role":  {token: console, actor: "ann", role: "approve", want: "ann (by console) operate"},
		"role without actor":  {token: console, role: "read", code: connect.CodeInvalidArgument},
		"unknown role":        {token: console, actor: "ann", role: "root", code: connect.CodeInvalidArgument},
		"control character":   {token: console, actor: "ann\tmary", code: connect.CodeInvalidArgument},
		"not UTF-8":           {token: console, actor: "ann\xff", code: connect.CodeInvalidArgument},
		"direction mark":      {token: console, actor: "ann\u202e", code: connect.CodeInvalidArgument},
		"long":                {token: console, actor: strings.Repeat("a", 201), code: connect.CodeInvalidArgument},
		"no delegate":         {token: ci, actor: "ann", code: connect.CodePermissionDenied},
		"no delegate, a role": {token: ci, role: "read", code: connect.CodePermissionDenied},
		"unnamed":             {token: "unnamed", actor: "ann", code: connect.CodePermissionDenied},
	} {
		h := headers{"Authorization": "Bearer " + c.token}
		if c.actor != "" {
			h[HeaderActor] = c.actor
		}
		if c.role != "" {
			h[HeaderRole] = c.role
		}
		resp, err := h.client(url).WhoAmI(t.Context(), connect.NewRequest(&controlv1.WhoAmIRequest{}))
		if c.want == "" {
			require.Equal(t, c.code, connect.CodeOf(err), "%s: %v", name, err)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, c.want, resp.Msg.GetRecordedAs()+" "+resp.Msg.GetRole(), name)
	}
}

func TestInterceptor_RefusesOtherRoles(t *testing.T) {
	reader, ci := NewToken(), NewToken()
	tokens, _, _ := newTokens(t, Settings{Tokens: Entries{
		{Name: "reader", Role: Read, Hash: hashOf(t, reader)},
		{Name: "ci", Role: Operate, Hash: hashOf(t, ci), Delegate: true},
	}.String()})
	url := serveEcho(t, tokens)
	read := headers{"Authorization": "Bearer " + reader}.client(url)
	operate := headers{"Authorization": "Bearer " + ci}.client(url)

	_, err := read.Rollback(t.Context(), connect.NewRequest(&controlv1.RollbackRequest{}))
	require.Equal(t, connect.CodePermissionDenied, connect.CodeOf(err))
	require.EqualError(t, err, "permission_denied: Rollback needs the role operate, and the token reader has the role "+
		"read: use a token with the role operate (`driftless token new NAME --role operate` makes one)")
	_, err = read.Rollback(t.Context(), connect.NewRequest(&controlv1.RollbackRequest{DryRun: true}))
	require.NoError(t, err)
	_, err = operate.Rollback(t.Context(), connect.NewRequest(&controlv1.RollbackRequest{}))
	require.NoError(t, err)
	_, err = operate.Approve(t.Context(), connect.NewRequest(&controlv1.ApproveRequest{}))
	require.ErrorContains(t, err, "Approve needs the role approve, and the token ci has the role operate")

	ann := headers{"Authorization": "Bearer " + ci, HeaderActor: "ann", HeaderRole: "read"}.client(url)
	_, err = ann.Rollback(t.Context(), connect.NewRequest(&controlv1.RollbackRequest{}))
	require.ErrorContains(t, err, "and ann (by ci) has the role read")
}

// stream is a stream of a procedure.
type stream struct {
	connect.StreamingHandlerConn

	procedure string
}

func (s stream) Spec() connect.Spec { return connect.Spec{Procedure: s.procedure} }

func TestInterceptor_ChecksStreamsAndUnknownRPCs(t *testing.T) {
	i := Rules{"/s/Watch": {Role: Operate}, "/s/Nothing": {}}.Interceptor()
	served := 0
	handle := i.WrapStreamingHandler(func(context.Context, connect.StreamingHandlerConn) error {
		served++
		return nil
	})
	as := func(r Role) context.Context {
		return WithPrincipal(t.Context(), Principal{Token: "ci", Role: r})
	}
	require.NoError(t, handle(as(Operate), stream{procedure: "/s/Watch"}))
	require.Equal(t, 1, served)
	for _, err := range []error{
		handle(as(Read), stream{procedure: "/s/Watch"}),
		handle(t.Context(), stream{procedure: "/s/Watch"}),
		handle(as(Approve), stream{procedure: "/s/Other"}),
		handle(as(Approve), stream{procedure: "/s/Nothing"}),
	} {
		require.Equal(t, connect.CodePermissionDenied, connect.CodeOf(err))
	}
	require.Equal(t, 1, served)
}
