package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// receiver is a receiver of notifications whose answers the test chooses.
type receiver struct {
	*httptest.Server

	mu     sync.Mutex
	status int
	got    []received
}

type received struct {
	header http.Header
	body   []byte
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{status: http.StatusNoContent}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, received{req.Header, body})
		if r.status/100 == 3 {
			w.Header().Set("Location", "http://169.254.169.254/latest/meta-data")
		}
		w.WriteHeader(r.status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// take returns what was received since the last call.
func (r *receiver) take() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

// rig is a notifier with a ledger and a clock of its own.
type rig struct {
	*Notifier

	t       *testing.T
	clock   time.Time
	problem []ledger.Problem
	unknown []string
	letters int
}

func newRig(t *testing.T, settings config.Notify) *rig {
	t.Helper()
	r := &rig{t: t, clock: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)}
	now := func() time.Time { return r.clock }
	l, err := ledger.Open(t.Context(), localtest.Postgres(t), ledger.Config{Account: "shop", Now: now})
	require.NoError(t, err)
	t.Cleanup(l.Close)
	if settings.NotifyKinds == nil {
		settings.NotifyKinds = config.NotifyKinds
	}
	r.Notifier, err = New(Config{
		Account: "shop", Settings: settings, Ledger: l, Logger: slog.New(slog.DiscardHandler), Now: now,
		Others: func(context.Context) ([]ledger.Problem, []string) { return r.problem, r.unknown },
	})
	require.NoError(t, err)
	return r
}

// letter stores dead letters of products.
func (r *rig) letter(products ...string) {
	r.t.Helper()
	for _, p := range products {
		payload, err := proto.Marshal(&catalogv1.ProductChange{
			ProductId: p, Version: 7, Product: &catalogv1.Product{Id: p, Name: "The " + p},
		})
		require.NoError(r.t, err)
		r.letters++
		require.NoError(r.t, r.Ledger.Apply(r.t.Context(), ledger.DeadLetterChange(&meshv1.DeadLetter{
			Id: fmt.Sprintf("letter-%d", r.letters), Service: "push", Account: "shop", ProductId: p, Version: 7,
			Reason: "refused_by_stripe", Message: "No such tax code <txcd_x> & so on", StripeRequestId: "req_1",
			Payload: payload, LastAt: timestamppb.New(r.clock),
		}, ledger.Entry{EventID: fmt.Sprintf("entry-%d", r.letters)})))
	}
}

func (r *rig) pass(d time.Duration) {
	r.t.Helper()
	r.clock = r.clock.Add(d)
	require.NoError(r.t, r.check(r.t.Context()))
}

func decode(t *testing.T, body []byte) message {
	t.Helper()
	var m message
	require.NoError(t, json.Unmarshal(body, &m))
	return m
}

// TestNotifier_GroupsAFlood checks that a flood is one message with a count, signed, and with what failed.
func TestNotifier_GroupsAFlood(t *testing.T) {
	hook := newReceiver(t)
	r := newRig(t, config.Notify{NotifyURL: config.Secret(hook.URL + "/hook"), NotifySecret: secret})
	r.pass(0)
	require.Empty(t, hook.take(), "there is nothing to say")
	r.letter("p1", "p2", "p3", "p4", "p5", "p6", "p7")
	r.problem = []ledger.Problem{{Kind: ledger.ProblemHalted, Since: r.clock, Reason: "Expired API Key"}}
	r.pass(checkInterval)
	got := hook.take()
	require.Len(t, got, 1)
	verify, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	require.NoError(t, verify.VerifyIgnoringTimestamp(got[0].body, got[0].header))
	m := decode(t, got[0].body)
	require.Equal(t, typeProblems, m.Type)
	require.Equal(t, "shop", m.Data.Account)
	require.Len(t, m.Data.Problems, 2)
	letters := m.Data.Problems[0]
	require.Equal(t, ledger.ProblemDeadLetter, letters.Kind)
	require.EqualValues(t, 7, letters.Count)
	require.Len(t, letters.First, 5)
	require.Equal(t, "p1", letters.First[0].ProductID)
	require.Equal(t, "refused_by_stripe", letters.First[0].Reason)
	require.JSONEq(t, `{"id":"p1","name":"The p1"}`, string(letters.First[0].Payload))
	require.Equal(t, "Expired API Key", m.Data.Problems[1].First[0].Message)

	r.letter("p8")
	r.pass(checkInterval)
	require.Empty(t, hook.take(), "at most one message a minute")
	r.pass(time.Minute)
	got = hook.take()
	require.Len(t, got, 1)
	m = decode(t, got[0].body)
	require.Len(t, m.Data.Problems, 1, "nobody is told twice")
	require.EqualValues(t, 1, m.Data.Problems[0].Count)

	r.problem, r.unknown = nil, []string{ledger.ProblemHalted}
	r.pass(time.Hour)
	r.problem, r.unknown = []ledger.Problem{{Kind: ledger.ProblemHalted, Since: r.clock}}, nil
	r.pass(time.Hour)
	require.Empty(t, hook.take(), "while NATS was away nobody knew whether it ended")
	r.problem = nil
	r.pass(time.Hour)
	r.problem = []ledger.Problem{{Kind: ledger.ProblemHalted, Since: r.clock}}
	r.pass(time.Hour)
	require.Len(t, hook.take(), 1, "it ended and came back")
}

// TestNotifier_RetriesUntilAccepted checks that an attempt is repeated with the same id, also by another process.
func TestNotifier_RetriesUntilAccepted(t *testing.T) {
	hook := newReceiver(t)
	settings := config.Notify{NotifyURL: config.Secret(hook.URL + "/hook"), NotifySecret: secret}
	r := newRig(t, settings)
	hook.answer(http.StatusServiceUnavailable)
	r.letter("mug")
	r.pass(0)
	first := hook.take()
	require.Len(t, first, 1)
	r.letter("cup")
	r.pass(2 * time.Second)
	require.Empty(t, hook.take(), "it waits")

	hook.answer(http.StatusOK)
	cfg := r.Config
	other, err := New(cfg)
	require.NoError(t, err)
	require.NoError(t, other.Ledger.RetryNotifications(t.Context()))
	require.NoError(t, other.check(t.Context()))
	second := hook.take()
	require.Len(t, second, 1)
	require.Equal(t, first[0].header.Get("Webhook-Id"), second[0].header.Get("Webhook-Id"),
		"a receiver can drop repetitions")
	require.Equal(t, first[0].body, second[0].body)
	r.pass(2 * time.Minute)
	third := hook.take()
	require.Len(t, third, 1)
	require.Contains(t, string(third[0].body), `"cup"`)
	require.NotEqual(t, first[0].header.Get("Webhook-Id"), third[0].header.Get("Webhook-Id"))
}

func TestNotifier_WritesTextForSlack(t *testing.T) {
	hook := newReceiver(t)
	r := newRig(t, config.Notify{
		NotifySlackURL: config.Secret(hook.URL + "/services/T/B/X"), NotifyKinds: []string{"dead_letter"},
	})
	r.letter("mug")
	r.problem = []ledger.Problem{{Kind: ledger.ProblemHalted, Since: r.clock}}
	r.pass(0)
	got := hook.take()
	require.Len(t, got, 1)
	var text map[string]string
	require.NoError(t, json.Unmarshal(got[0].body, &text))
	require.Equal(t, map[string]string{"text": "*Driftless, account shop: 1 change could not be applied*\n" +
		"• `mug` refused_by_stripe: No such tax code &lt;txcd_x&gt; &amp; so on: `driftless dead show mug`"}, text)
}

func TestNotifier_TestsEachTarget(t *testing.T) {
	good, bad := newReceiver(t), newReceiver(t)
	bad.answer(http.StatusFound)
	r := newRig(t, config.Notify{
		NotifyURL: config.Secret(good.URL), NotifySecret: secret, NotifySlackURL: config.Secret(bad.URL + "/hidden"),
	})
	results, err := r.Test(t.Context())
	require.NoError(t, err)
	require.Equal(t, "slack", results[0].Target)
	require.ErrorContains(t, results[0].Err, "redirect")
	require.NotContains(t, results[0].Err.Error(), "hidden")
	require.Equal(t, Result{Target: "webhook"}, results[1])
	require.Equal(t, typeTest, decode(t, good.take()[0].body).Type)
	bad.Close()
	results, err = r.Test(t.Context())
	require.NoError(t, err)
	require.ErrorContains(t, results[0].Err, "did not answer")
	require.NotContains(t, results[0].Err.Error(), "hidden", "the URL is a secret")
}

func TestNewClient_RefusesAddressesInside(t *testing.T) {
	hook := newReceiver(t)
	for host, ok := range map[string]bool{"127.0.0.1": true, "hooks.example.com": false} {
		resp, err := newClient(host).Post(hook.URL, "text/plain", nil)
		if ok {
			require.NoError(t, err)
			resp.Body.Close()
			continue
		}
		require.ErrorContains(t, err, "no notification is sent", "a name that leads to this machine")
	}
	_, err := newClient("metadata.internal").Post("http://169.254.169.254/", "text/plain", nil)
	require.ErrorContains(t, err, "no notification is sent")
	require.NotErrorIs(t, err, context.DeadlineExceeded)
}

func TestPayload_IsBounded(t *testing.T) {
	raw, err := proto.Marshal(&catalogv1.ProductChange{
		Product: &catalogv1.Product{Name: strings.Repeat("x", maxPayload)},
	})
	require.NoError(t, err)
	product, omitted := payload(raw)
	require.Nil(t, product)
	require.True(t, omitted)
	product, omitted = payload([]byte("of another message"))
	require.Nil(t, product)
	require.False(t, omitted)
}

func TestDelay_GrowsToAnHour(t *testing.T) {
	for attempts, most := range map[int]time.Duration{1: 5 * time.Second, 3: 20 * time.Second, 40: time.Hour} {
		d := delay(attempts)
		require.GreaterOrEqual(t, d, most/2)
		require.LessOrEqual(t, d, most)
	}
}
