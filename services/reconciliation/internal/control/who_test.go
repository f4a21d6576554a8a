package control_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/auth"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

// TestControlAPI_AsksForRoles: the handler knows the caller, and the table of roles is enforced.
func TestControlAPI_AsksForRoles(t *testing.T) {
	r := controltest.New(t)
	reader, console := auth.NewToken(), auth.NewToken()
	r.Config.Auth.Token = "secret"
	var entries auth.Entries
	for _, e := range []struct {
		token string
		entry auth.Entry
	}{
		{reader, auth.Entry{Name: "reader", Role: auth.Read, Expires: time.Now().Add(time.Hour)}},
		{console, auth.Entry{Name: "console", Role: auth.Approve, Delegate: true}},
	} {
		hash, err := auth.HashToken(e.token)
		require.NoError(t, err)
		e.entry.Hash = hash
		entries = append(entries, e.entry)
	}
	r.Config.Auth.Tokens = entries.String()
	r.Config.NATS.Version = "1.2.3"
	r.Start()
	who := func(headers ...string) *controlv1.WhoAmIResponse {
		t.Helper()
		status, answer := r.Call("WhoAmI", `{}`, headers...)
		require.Equal(t, http.StatusOK, status, string(answer))
		out := &controlv1.WhoAmIResponse{}
		require.NoError(t, protojson.Unmarshal(answer, out))
		return out
	}
	have := who("Authorization", "Bearer secret")
	require.Equal(t, "operator approve default 1.2.3", strings.Join(
		[]string{have.GetName(), have.GetRole(), have.GetAccount(), have.GetVersion()}, " "))
	require.False(t, have.GetOpen())
	have = who("Authorization", "Bearer "+reader)
	require.Equal(t, "reader read", have.GetName()+" "+have.GetRole())
	require.NotNil(t, have.GetExpiresAt())
	have = who("Authorization", "Bearer "+console, "Driftless-Actor", "ann", "Driftless-Role", "operate")
	require.Equal(t, "console ann operate ann (by console)", strings.Join(
		[]string{have.GetName(), have.GetActor(), have.GetRole(), have.GetRecordedAs()}, " "))

	// Without the role, nothing is done, and not even the request is looked at.
	status, answer := r.Call("Pause", `{"services":["nosuch"]}`, "Authorization", "Bearer "+reader)
	require.Equal(t, http.StatusForbidden, status)
	require.Contains(t, string(answer), "Pause needs the role operate, and the token reader has the role read")
	status, answer = r.Call("Plan", `{}`, "Authorization", "Bearer "+reader)
	require.Equal(t, http.StatusOK, status, string(answer))
	status, _ = r.Call("Pause", `{}`, "Authorization", "Bearer "+reader, "Driftless-Actor", "ann")
	require.Equal(t, http.StatusForbidden, status)
}
