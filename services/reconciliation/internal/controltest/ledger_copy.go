package controltest

import (
	"bytes"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/local"
)

// CopyLedger returns a copy of the ledger, as an operator's pg_dump makes it.
func (r *Rig) CopyLedger() []byte {
	r.T.Helper()
	return r.run(nil, "pg_dump", "--schema", "driftless_ledger", "--clean", "--if-exists")
}

// RestoreLedger replaces the ledger by a copy, also while the service runs.
func (r *Rig) RestoreLedger(ledgerCopy []byte) {
	r.T.Helper()
	require.Eventually(r.T, func() bool {
		_, failure, err := r.tryRun(ledgerCopy, "psql", "--quiet", "--no-psqlrc", "--single-transaction", "--set",
			"ON_ERROR_STOP=1")
		// A running service locks the tables in another order. Then nothing was restored.
		if err != nil && strings.Contains(failure, "deadlock detected") {
			return false
		}
		require.NoError(r.T, err, failure)
		return true
	}, 3*Patience, time.Millisecond)
}

// DropLedger removes the schema of the ledger.
func (r *Rig) DropLedger() {
	r.T.Helper()
	conn, err := pgx.Connect(r.T.Context(), r.Config.LedgerURL)
	require.NoError(r.T, err)
	_, err = conn.Exec(r.T.Context(), "DROP SCHEMA driftless_ledger CASCADE")
	require.NoError(r.T, err)
	require.NoError(r.T, conn.Close(r.T.Context()))
}

func (r *Rig) run(input []byte, program string, args ...string) []byte {
	r.T.Helper()
	out, failure, err := r.tryRun(input, program, args...)
	require.NoError(r.T, err, failure)
	return out
}

func (r *Rig) tryRun(input []byte, program string, args ...string) (output []byte, failure string, err error) {
	r.T.Helper()
	path, err := local.FindProgram(r.T.Context(), program)
	require.NoError(r.T, err)
	cmd := exec.CommandContext(r.T.Context(), path, append(args, r.Config.LedgerURL)...)
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, &said
	err = cmd.Run()
	return out.Bytes(), said.String(), err
}

// Known waits until the answer about equality is known, with an ingestion, a pull and a push that are done.
func (r *Rig) Known() {
	r.T.Helper()
	var unknown string
	require.Eventually(r.T, func() bool {
		r.Report(nil)
		unknown = r.Equality().GetUnknown()
		return unknown == ""
	}, Patience, 20*time.Millisecond, &unknown)
}

// AsksStatus asks for the status again and again: see AskAgain.
func (r *Rig) AsksStatus(look func(*controlv1.GetStatusResponse)) (stop func()) {
	r.T.Helper()
	return AskAgain(r, "GetStatus", look)
}

// AskAgain calls a method again and again until the returned function is called, and gives each answer to look. Answers
// that fail are left out: the tables may be missing for a moment.
func AskAgain[T any, M interface {
	*T
	proto.Message
}](r *Rig, method string, look func(M)) (stop func()) {
	r.T.Helper()
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			default:
			}
			if out, ok := tryAsk[T, M](r, method); ok {
				look(out)
			}
		}
	}()
	return func() { close(quit); <-done }
}

// tryAsk calls a method without a request. ok is false if the service does not answer: its streams or tables may be
// missing for a moment.
func tryAsk[T any, M interface {
	*T
	proto.Message
}](r *Rig, method string) (out M, ok bool) {
	req, err := http.NewRequestWithContext(r.T.Context(), http.MethodPost,
		r.URL+"/driftless.control.v1.ControlService/"+method, strings.NewReader("{}"))
	if err != nil {
		return nil, false
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, false
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	out = M(new(T))
	return out, err == nil && resp.StatusCode == http.StatusOK && protojson.Unmarshal(answer, out) == nil
}
