package pull_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/pull"
)

func TestWebhook_ChecksBeforeItStores(t *testing.T) {
	r := newRig(t)
	r.pull(time.Hour)
	good := event{ID: "evt_1", Type: "product.updated", Created: 100, Object: productObject("Mug", 100)}
	live := good
	live.Live = true
	connected := good
	connected.Account = "acct_other"
	connectedTest := connected
	connectedTest.Live = true
	other := event{
		ID:      "evt_2",
		Type:    "customer.created",
		Created: 100,
		Object:  map[string]any{"id": "cus_1", "object": "customer"},
	}
	for name, c := range map[string]struct {
		body   []byte
		secret string
		want   int
	}{
		"not signed":                          {good.body(), "", http.StatusBadRequest},
		"wrong secret":                        {good.body(), "whsec_wrong", http.StatusBadRequest},
		"not an event":                        {[]byte(`{"a":1}`), secret, http.StatusBadRequest},
		"no JSON":                             {[]byte(`hello`), secret, http.StatusBadRequest},
		"the other mode":                      {live.body(), secret, http.StatusBadRequest},
		"about another kind":                  {other.body(), secret, http.StatusOK},
		"of a connected account":              {connected.body(), secret, http.StatusOK},
		"of a connected account's other mode": {connectedTest.body(), secret, http.StatusOK},
		"a ping of an event destination": {
			[]byte(`{"id":"evt_ping","object":"v2.core.event","type":"v2.core.event_destination.ping","created":"2026-11-26T10:00:00.000Z","livemode":false,` +
				`"related_object":{"id":"ed_1","type":"v2.core.event_destination","url":"/v2/core/event_destinations/ed_1"}}`), secret, http.StatusOK,
		},
		"a thin event about another kind": {
			[]byte(`{"id":"evt_thin","object":"v2.core.event","type":"v1.customer.created","created":"2026-11-26T10:00:00.000Z","livemode":false,` +
				`"related_object":{"id":"cus_1","type":"customer","url":"/v1/customers/cus_1"}}`), secret,
			http.StatusOK,
		},
	} {
		require.Equal(t, c.want, r.send(c.body, c.secret), name)
	}
	require.Zero(t, r.stored(topology.StreamStripe))
	resp, err := http.Get(r.url + pull.WebhookPath)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)

	require.Equal(t, http.StatusOK, r.send(good.body(), "whsec_old"), "either secret will do")
	require.EqualValues(t, 1, r.stored(topology.StreamStripe), "200 only once it is stored")
	require.Equal(t, http.StatusOK, r.send(good.body(), secret))
	require.EqualValues(t, 1, r.stored(topology.StreamStripe), "the same event again")
	r.waitName("Mug")
}

func TestWebhook_AnswersAnErrorIfItCannotStore(t *testing.T) {
	r := newRig(t)
	r.pull(time.Hour)
	require.NoError(t, r.mesh.JetStream().DeleteStream(t.Context(), topology.StreamSync))
	stream, err := r.mesh.JetStream().Stream(t.Context(), topology.StreamStripe)
	require.NoError(t, err)
	cfg := stream.CachedInfo().Config
	cfg.Sealed = true
	_, err = r.mesh.JetStream().UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable,
		r.send(event{ID: "evt_1", Type: "product.updated", Created: 1, Object: productObject("Mug", 1)}.body(), secret))
}
