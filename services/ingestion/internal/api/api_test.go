package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/proto/driftless/ingest/v1/ingestv1connect"
	"github.com/driftless-sync/driftless/services/ingestion/internal/api"
	"github.com/driftless-sync/driftless/services/ingestion/internal/builtin"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/telemetry/telemetrytest"
)

// post makes a call as curl does.
func (r *rig) post(method, body string, headers ...string) (int, string) {
	r.t.Helper()
	resp, err := r.send(method, body, headers...)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	return resp.StatusCode, string(answer)
}

// send sends a call. The caller closes the body of the response.
func (r *rig) send(method, body string, headers ...string) (*http.Response, error) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost,
		r.url+"/driftless.ingest.v1.IngestService/"+method, strings.NewReader(body))
	require.NoError(r.t, err)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return r.http.Do(req)
}

// This test is not parallel, because the recorder is the process's.
func TestUpsertProducts_WritesTraceFirst(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	telemetrytest.Start(t)
	r := newRig(t)
	r.exec("CREATE PUBLICATION p FOR TABLE driftless.products, driftless.prices")
	slot := "trace_" + fmt.Sprint(time.Now().UnixNano())
	r.exec("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", slot)
	for _, call := range [][2]string{
		{"UpsertProducts", `{"products": [{"id": "a", "name": "A"}]}`}, {"ArchiveProducts", `{"ids": ["a"]}`},
	} {
		status, answer := r.post(call[0], call[1], "Traceparent", parent)
		require.Equal(t, http.StatusOK, status, answer)
		rows, err := r.pool.Query(t.Context(),
			"SELECT data FROM pg_logical_slot_get_binary_changes($1, NULL, upto_nchanges => NULL, "+
				"VARIADIC options => ARRAY['proto_version', '1', 'publication_names', 'p', 'messages', 'true'])", slot)
		require.NoError(t, err)
		var kinds, message []byte
		var data []byte
		for rows.Next() {
			require.NoError(t, rows.Scan(&data))
			if kinds = append(kinds, data[0]); data[0] == 'M' {
				message = bytes.Clone(data)
			}
		}
		require.NoError(t, rows.Err())
		require.Regexp(t, "^BMR[IU]C$", string(kinds), "begin, message, relation, row, commit")
		require.Contains(t, string(message), "traceparent\x00")
		require.Contains(t, string(message), "00-0af7651916cd43dd8448eb211c80319c-")
		require.NotContains(t, string(message), "b7ad6b7169203331", "the parent is the API's own span")
	}
}

func TestNew_ServesEveryProtocol(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	transport := &http.Transport{Protocols: &http.Protocols{}}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	h2 := &http.Client{Transport: transport}
	for name, client := range map[string]ingestv1connect.IngestServiceClient{
		"connect":  ingestv1connect.NewIngestServiceClient(r.http, r.url),
		"json":     ingestv1connect.NewIngestServiceClient(r.http, r.url, connect.WithProtoJSON()),
		"gRPC":     ingestv1connect.NewIngestServiceClient(h2, r.url, connect.WithGRPC()),
		"gRPC-Web": ingestv1connect.NewIngestServiceClient(r.http, r.url, connect.WithGRPCWeb()),
	} {
		r.client = client
		_, err := r.upsert(product("a", price("a1")))
		require.NoError(t, err, name)
		_, err = r.upsert(product(""))
		require.Equal(t, []string{"products[0].id (): must not be empty"}, violations(t, err), name)
		captured, err := client.WaitCaptured(t.Context(), connect.NewRequest(&ingestv1.WaitCapturedRequest{}))
		require.NoError(t, err)
		require.EqualValues(t, 42, captured.Msg.GetVersion())
	}
}

func TestNew_RefusesUnknownFieldsByName(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, contentType := range []string{"application/json", "application/json; charset=utf-8"} {
		status, answer := r.post("UpsertProducts", `{"products": [{"id": "a", "colour": "A"}]}`, "Content-Type",
			contentType)
		require.Equal(t, http.StatusBadRequest, status)
		require.Contains(t, answer, `unknown field \"colour\"`)
	}
	require.Empty(t, r.rows())
}

func TestNew_RequiresToken(t *testing.T) {
	t.Parallel()
	tokens, err := auth.NewTokens(auth.Settings{Token: "secret"}, nil)
	require.NoError(t, err)
	r := newRig(t, func(cfg *api.Config) { cfg.Tokens = tokens })
	status, answer := r.post("UpsertProducts", `{"products": [{"id": "a", "name": "A"}]}`)
	require.Equal(t, http.StatusUnauthorized, status)
	require.Contains(t, answer, "DRIFTLESS_TOKEN")
	require.Empty(t, r.rows())
	status, _ = r.post("UpsertProducts", `{"products": [{"id": "a", "name": "A"}]}`, "Authorization", "Bearer secret")
	require.Equal(t, http.StatusOK, status)
}

// Errors of the database have a remedy for the caller, and a failure in the middle of a batch writes nothing.
func TestCallError_SaysWhatToDo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.mustUpsert(product("held"))
	fails := func(code connect.Code, words string) {
		t.Helper()
		before := r.rows()
		_, err := r.upsert(product("a", price("a1")), product("held", price("h1")))
		require.Equal(t, code, connect.CodeOf(err), "%v", err)
		require.ErrorContains(t, err, words)
		require.Equal(t, before, r.rows())
	}
	r.exec("ALTER TABLE driftless.prices ADD CONSTRAINT house_rule CHECK (unit_amount < 100)")
	fails(connect.CodeInvalidArgument, "house_rule")
	r.exec("ALTER TABLE driftless.prices DROP CONSTRAINT house_rule")
	r.exec("ALTER TABLE driftless.prices RENAME COLUMN nickname TO nick")
	fails(connect.CodeFailedPrecondition, "restart ingestion")
	r.exec("ALTER TABLE driftless.prices RENAME COLUMN nick TO nickname")
	r.mustUpsert(product("a", price("a1")))
}

func TestCallError_NamesGrantForMissingRight(t *testing.T) {
	t.Parallel()
	database := localtest.Postgres(t)
	require.NoError(t, builtin.Migrate(t.Context(), database))
	admin := localtest.Pool(t, database)
	u, err := url.Parse(database)
	require.NoError(t, err)
	role := "clerk_" + strings.TrimPrefix(u.Path, "/")
	_, err = admin.Exec(t.Context(), "CREATE ROLE "+role+" LOGIN PASSWORD 'secret'")
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.Exec(context.WithoutCancel(t.Context()), "DROP OWNED BY "+role)
		require.NoError(t, err)
		_, err = admin.Exec(context.WithoutCancel(t.Context()), "DROP ROLE "+role)
		require.NoError(t, err)
	})
	cfg, err := pgxpool.ParseConfig(database)
	require.NoError(t, err)
	cfg.ConnConfig.User, cfg.ConnConfig.Password = role, "secret"
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	r := serve(t, pool)
	_, err = r.upsert(product("a"))
	require.Equal(t, connect.CodeFailedPrecondition, connect.CodeOf(err), "%v", err)
	_, statement, found := strings.Cut(err.Error(), "run `")
	require.True(t, found, "%v", err)
	_, err = admin.Exec(t.Context(), strings.TrimSuffix(statement, "`"))
	require.NoError(t, err)
	r.mustUpsert(product("a", price("a1")))
	r.mustUpsert(product("a"))
	require.NoError(t, r.archive("a"))
}

func TestWaitCaptured_EndsWithCaller(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(cfg *api.Config) {
		cfg.WaitCaptured = func(ctx context.Context) (uint64, error) {
			<-ctx.Done()
			return 0, context.Cause(ctx)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := r.client.WaitCaptured(ctx, connect.NewRequest(&ingestv1.WaitCapturedRequest{}))
	require.Equal(t, connect.CodeDeadlineExceeded, connect.CodeOf(err))

	r = newRig(t, func(cfg *api.Config) {
		cfg.WaitCaptured = func(context.Context) (uint64, error) { return 0, errors.New("broken pipe") }
	})
	status, answer := r.post("WaitCaptured", "{}")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, answer, "broken pipe")
}
