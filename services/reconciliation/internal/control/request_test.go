package control_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

func TestControlAPI_RefusesInvalidTextsBeforePublishing(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	long := strings.Repeat("x", 1021)
	many := strings.TrimSuffix(strings.Repeat(`"a",`, 1001), ",")
	for _, c := range []struct{ method, body, want string }{
		{
			"AdoptProducts",
			`{"adoptions":[{"product_id":"a","stripe_id":"b"},{"product_id":"a\u0000","stripe_id":"x"}]}`,
			`adoptions[1].product_id: must not hold the character U+0000, which is at byte 1`,
		},
		{
			"AdoptProducts", `{"adoptions":[{"product_id":"a","stripe_id":"*"}]}`,
			`adoptions[0].stripe_id: must be an id`,
		},
		{"AdoptProducts", `{"adoptions":[{"product_id":"a"}]}`, `adoptions[0].stripe_id: must not be empty`},
		{
			"AdoptProducts", `{"adoptions":[{"product_id":"a","stripe_id":"b","prices":{"p\u0000":"q"}}]}`,
			`(key): must not hold the character U+0000`,
		},
		{
			"AdoptProducts", `{"adoptions":[{"product_id":"a","stripe_id":"b","prices":{"p":""}}]}`,
			`prices[\"p\"]: must not be empty`,
		},
		{"AdoptProducts", `{"adoptions":[]}`, `adoptions: must be at least 1`},
		{"SyncProducts", `{"product_ids":[""]}`, `product_ids[0]: must not be empty`},
		{"SyncProducts", `{"product_ids":["mug","*"]}`, `product_ids[1]: must be an id`},
		{"SyncProducts", `{"product_ids":["` + long + `"]}`, `product_ids[0]: must have at most 1020 bytes, not 1021`},
		{"SyncProducts", `{"product_ids":[` + many + `]}`, `product_ids: must be at most 1000, not 1001`},
		{"Reread", `{"product_ids":["\u0000"]}`, `product_ids[0]: must not hold`},
		{"ListHistory", `{"product_id":"a\u0000"}`, `product_id: must not hold`},
		{"ListHistory", `{}`, `product_id: must not be empty`},
		{"ListDrift", `{"kinds":["k\u0000"]}`, `kinds[0]: must not hold`},
		{"ListDrift", `{"after":"\u0000"}`, `after: must not hold`},
		{"IgnoreDrift", `{"product_id":"a","fields":["name","f\u0000"]}`, `fields[1]: must not hold`},
		{"ResolveDrift", `{"product_id":"a","keep":"KEEP_UNSPECIFIED"}`, `keep: must be KEEP_CATALOG or KEEP_STRIPE`},
		{
			"DropDeadLetters", `{"selection":{"product_ids":["a\u0000"]},"why":"w"}`,
			`selection.product_ids[0]: must not hold`,
		},
		{"DropDeadLetters", `{"selection":{"all":true},"why":"w\u0000"}`, `why: must not hold`},
		{"ReplayDeadLetters", `{}`, `selection: must be given`},
		{"GetDeadLetters", `{"product_id":"*"}`, `product_id: must be an id`},
		{"ListAdoptions", `{"ids":["i\u0000"]}`, `ids[0]: must not hold`},
		{"Pause", `{"services":["push"],"duration":"9223372036s"}`, `duration: must be at most 366 days`},
		{"Pause", `{"services":["push\u0000"]}`, `services[0]: must not hold`},
		{"Approve", `{"duration":"86401s"}`, `duration: must be at most a day`},
		{"Approve", `{"duration":"-1s"}`, `duration: must be at least 0`},
		{"Plan", `{"product_ids":["\u0000","\u0000"]}`, `product_ids[1]: must not hold`},
	} {
		status, answer := r.Call(c.method, c.body)
		require.Equal(t, http.StatusBadRequest, status, "%s %s: %s", c.method, c.body, answer)
		require.Contains(t, strings.ReplaceAll(string(answer), `\\\"`, `\"`), c.want, c.method)
	}
	require.Zero(t, r.Messages(topology.StreamCommand))
	require.Empty(t, controltest.Ask[controlv1.GetStatusResponse](r, "GetStatus", `{}`).GetPaused())
}

func TestSyncProducts_SendsNoCommandForUnknownProducts(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	r.Desire("mug", "Mug", 1)
	r.Eventually("mug", controlv1.ProductState_PRODUCT_STATE_PENDING)
	ids := []string{`"mug"`}
	for i := range 999 {
		ids = append(ids, fmt.Sprintf(`"none%d"`, i))
	}
	resp := controltest.Ask[controlv1.SyncProductsResponse](r, "SyncProducts",
		`{"product_ids":[`+strings.Join(ids, ",")+`]}`)
	require.Len(t, resp.GetUnknown(), 999)
	require.NotContains(t, resp.GetUnknown(), "mug")
	require.EqualValues(
		t, 2, r.Messages(topology.StreamCommand), "one for push, and one for ingestion, which searches for all of them",
	)
	var entries int
	pool := localtest.Pool(t, r.Config.LedgerURL)
	require.NoError(
		t,
		pool.QueryRow(t.Context(), `SELECT count(*) FROM driftless_ledger.history WHERE kind = 'ordered'`).Scan(
			&entries),
	)
	require.Equal(t, 1, entries)
}
