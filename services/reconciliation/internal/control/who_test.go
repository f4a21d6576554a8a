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
	r.Config.Auth.Tokens = entryOf(t, "reader", auth.Read, reader) + " expires=" +
		time.Now().Add(time.Hour).Format(time.RFC3339) + "," +
		entryOf(t, "console", auth.Approve, console) + " delegate=true"
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

// TestOperations_RecordWhoAndWhy: the audit trail has who asked for each operation, and why.
func TestOperations_RecordWhoAndWhy(t *testing.T) {
	r := controltest.New(t)
	ci, console := auth.NewToken(), auth.NewToken()
	r.Config.Auth = auth.Settings{
		Token: "secret",
		Tokens: entryOf(t, "ci", auth.Operate, ci) + "," +
			entryOf(t, "console", auth.Approve, console) + " delegate=true",
	}
	r.Config.GracePeriod = time.Hour
	r.Start()
	r.Desire("mug", "Mug", 10)
	call := func(token, method, body string, headers ...string) string {
		t.Helper()
		status, answer := r.Call(method, body, append(headers, "Authorization", "Bearer "+token)...)
		require.Equal(t, http.StatusOK, status, string(answer))
		return string(answer)
	}
	require.Eventually(t, func() bool {
		return strings.Contains(call(ci, "ListHistory", `{"product_id":"mug"}`), "catalog_change")
	}, 30*time.Second, 10*time.Millisecond)

	call("secret", "Pause", `{"services":["push"],"actor":"ann","reason":"release"}`)
	call("secret", "Resume", `{"services":["push"]}`)
	call(ci, "StartScan", `{"actor":"ann"}`)
	call(ci, "Reread", `{"reason":"moved tables"}`)
	call(ci, "Reread", `{"product_ids":["mug"]}`)
	call(ci, "SyncProducts", `{"product_ids":["mug"],"actor":"ann@laptop","reason":"asked by support"}`)
	call(console, "AdoptProducts", `{"adoptions":[{"product_id":"mug","stripe_id":"prod_1"}]}`, auth.HeaderActor, "bob")

	activity := &controlv1.ListActivityResponse{}
	require.NoError(t, protojson.Unmarshal([]byte(call(ci, "ListActivity", `{"latest":20}`)), activity))
	var have []string
	for _, e := range activity.GetEntries() {
		if entry := e.GetEntry(); entry.GetActor() != "" {
			have = append(have, strings.Join([]string{
				e.GetProductId(), entry.GetKind(), entry.GetDetail(), entry.GetActor(), entry.GetReason(),
			}, " | "))
		}
	}
	require.Equal(t, []string{
		"* | paused | push until it is resumed, by ann: release | ann | release",
		"* | resumed | push, by operator | operator | ",
		"* | scan | scan of Stripe, by ci (as ann) | ci | ",
		"* | reread | the whole catalog, by ci: moved tables | ci | moved tables",
		"mug | reread | reread from the tables, by ci | ci | ",
		"mug | ordered | sync, by ci (as ann@laptop): asked by support | ci | asked by support",
		"mug | ordered | adopt prod_1, by bob (by console) | bob (by console) | ",
	}, have)

	status, answer := r.Call("Resume", `{"actor":"reconciliation"}`, "Authorization", "Bearer secret")
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, string(answer), "is the name of a service")
}

// entryOf returns a token as the settings have it.
func entryOf(t *testing.T, name string, role auth.Role, token string) string {
	t.Helper()
	hash, err := auth.HashToken(token)
	require.NoError(t, err)
	return (&auth.Entry{Name: name, Role: role, Hash: hash}).String()
}
