package pull_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// TestScan_SurvivesAnObjectThatCannotBeDecoded: a page has products that cannot be decoded, among others. One of them
// is the catalog's.
func TestScan_SurvivesAnObjectThatCannotBeDecoded(t *testing.T) {
	r := newRig(t)
	for i := range 5 {
		r.product(fmt.Sprintf("p%d", i))
	}
	target, err := url.Parse(r.simURL)
	require.NoError(t, err)
	undecodable := regexp.MustCompile(`"name":"Product p[13]"`)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) },
		ModifyResponse: func(res *http.Response) error {
			body, err := io.ReadAll(res.Body)
			text := undecodable.ReplaceAllString(string(body), `"name":{"x":1}`)
			res.Body, res.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
			res.Header.Set("Content-Length", strconv.Itoa(len(text)))
			return err
		},
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	r.simURL = server.URL
	_, err = r.stores.Observed().Update(t.Context(), "default", "p3", func(o *catalogv1.Observed) error {
		o.Version = 1
		return nil
	})
	require.NoError(t, err)
	r.stopEvents()
	r.pull(time.Hour)
	report := r.scan("s1")
	require.EqualValues(t, 5, report.GetProducts())
	require.EqualValues(t, 2, report.GetFailed())
	require.Empty(t, report.GetError())
	require.NotNil(t, r.observedOf("p4").GetProduct())
	require.Nil(t, r.observedOf("p3").GetProduct())
	letters, err := r.mesh.OpenLetters(t.Context(), topology.Pull, "default", []string{"p3", "p1"})
	require.NoError(t, err)
	require.Equal(t, topology.ReasonUndecodable, letters[0].GetReason())
	require.Contains(t, letters[0].GetMessage(), "object p3")
	require.Nil(t, letters[1], "products of others are no difference")
}

// One entry of OBSERVED is damaged. The events of other products and the scan go on.
func TestPull_SurvivesAnEntryThatCannotBeDecoded(t *testing.T) {
	r := newRig(t)
	damaged := "$KV." + topology.BucketObserved + ".default.mug"
	_, err := r.mesh.JetStream().Publish(t.Context(), damaged, []byte{0xff})
	require.NoError(t, err)
	r.product("mug")
	r.price("mug", "mug-eur")
	r.product("cup")
	month := fmt.Sprintf("@%d", time.Now().Add(-21*24*time.Hour).Unix())
	require.NoError(t, r.position().PutString(t.Context(), month))
	r.pull(time.Hour)
	require.Eventually(t, func() bool {
		at, err := r.position().GetString(t.Context())
		return err == nil && at != month && r.observedOf("cup").GetProduct() != nil
	}, patience, 5*time.Millisecond, "the poll reads on")
	letter := func() *meshv1.DeadLetter {
		letters, err := r.mesh.OpenLetters(t.Context(), topology.Pull, "default", []string{"mug"})
		require.NoError(t, err)
		return letters[0]
	}
	require.Eventually(t, func() bool { return letter() != nil }, patience, 5*time.Millisecond)
	require.Equal(t, topology.ReasonUndecodable, letter().GetReason())

	r.product("hat")
	report := r.scan("s1")
	require.Zero(t, report.GetResumed())
	require.EqualValues(t, 1, report.GetFailed())
	require.True(t, state.HasReadAll(report))
	require.NotNil(t, r.observedOf("hat").GetProduct())
	require.Equal(t, "scan:s1:mug", letter().GetId())
	require.Contains(t, letter().GetMessage(), "is not an observed state")
	require.NoError(t, r.admin.DeleteProduct(t.Context(), "mug", true))
	require.EqualValues(t, 1, r.scan("s2").GetFailed(), "also if Stripe does not list it")
	_, _, err = r.stores.Observed().Get(t.Context(), "default", "mug")
	require.ErrorIs(t, err, state.ErrUndecodable, "nothing overwrites its version and its intents")
}

// Stripe does not answer about an object that its lists no longer show. Another scan has to read it.
func TestScan_CountsObjectsThatStripeDoesNotAnswerAbout(t *testing.T) {
	r := newRig(t)
	r.product("mug")
	r.stopEvents()
	r.pull(time.Hour)
	r.scan("s1")
	require.NoError(t, r.admin.DeleteProduct(t.Context(), "mug", false))
	fault, err := r.admin.AddFault(t.Context(), stripesim.Fault{
		Kind: stripesim.FaultUnavailable, Path: "/v1/products/mug",
	})
	require.NoError(t, err)
	report := r.scan("s2")
	require.EqualValues(t, 1, report.GetUnconfirmed())
	require.Zero(t, report.GetFailed())
	require.False(t, state.HasReadAll(report))
	require.NoError(t, r.admin.RemoveFault(t.Context(), fault.ID))
	report = r.scan("s3")
	require.EqualValues(t, 1, report.GetMissing())
	require.True(t, state.HasReadAll(report))
}

// refuseWrites has the writes of a product's observed state lose to another writer, the given number of times. The
// stream does not take the product's subject meanwhile, and the test answers in its place.
func (r *rig) refuseWrites(product string, times int) {
	r.t.Helper()
	subject := "$KV." + topology.BucketObserved + ".default." + topology.Token(product)
	capture := func(subjects ...string) error {
		stream, err := r.mesh.JetStream().Stream(r.t.Context(), "KV_"+topology.BucketObserved)
		if err != nil {
			return err
		}
		config := stream.CachedInfo().Config
		config.Subjects = subjects
		_, err = r.mesh.JetStream().UpdateStream(r.t.Context(), config)
		return err
	}
	require.NoError(r.t, capture("$KV."+topology.BucketObserved+".elsewhere.*"))
	refused := 0
	sub, err := r.mesh.JetStream().Conn().Subscribe(subject, func(msg *nats.Msg) {
		if refused++; refused > times {
			return
		}
		if refused == times {
			assert.NoError(r.t, capture("$KV."+topology.BucketObserved+".>"))
		}
		refusal := `{"stream":"KV_OBSERVED","error":{"code":400,"err_code":10071,"description":"wrong last sequence"}}`
		assert.NoError(r.t, msg.Respond([]byte(refusal)))
	})
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = sub.Unsubscribe() })
}

// Others write a product all the time, as push does that makes many calls. The scan of the others goes on.
func TestScan_SurvivesAProductThatOthersWrite(t *testing.T) {
	r := newRig(t)
	r.product("mug")
	r.stopEvents()
	r.pull(time.Hour)
	r.scan("s1")
	edit := func(name string) {
		require.NoError(t, r.admin.EditProduct(t.Context(), "mug", url.Values{"name": {name}}))
	}
	edit("Second")
	r.refuseWrites("mug", 10)
	report := r.scan("s2")
	require.True(t, state.HasReadAll(report))
	require.Zero(t, report.GetResumed(), "it did not fail meanwhile")
	require.EqualValues(t, 1, report.GetCorrected())
	require.Equal(t, "Second", r.observed().GetProduct().GetName())
	edit("Third")
	r.refuseWrites("mug", 20)
	report = r.scan("s3")
	require.Zero(t, report.GetResumed())
	require.EqualValues(t, 1, report.GetUnconfirmed(), "the next scan reads it")
	require.Equal(t, "Second", r.observed().GetProduct().GetName())
	require.EqualValues(t, 1, r.scan("s4").GetCorrected())
	require.Equal(t, "Third", r.observed().GetProduct().GetName())
}

func TestScan_SurvivesFailuresOfStripe(t *testing.T) {
	r := newRig(t)
	for i := range 120 {
		r.product(fmt.Sprintf("p%d", i))
	}
	r.stopEvents()
	r.pull(time.Hour)
	for _, kind := range []stripesim.FaultKind{
		stripesim.FaultUnavailable, stripesim.FaultBadGateway,
		stripesim.FaultReset, stripesim.FaultRateLimit,
	} {
		_, err := r.admin.AddFault(t.Context(), stripesim.Fault{Kind: kind, Count: 1, Path: "/v1/products"})
		require.NoError(t, err)
	}
	report := r.scan("s1")
	require.EqualValues(t, 120, report.GetProducts())
	require.Empty(t, report.GetError())
}
