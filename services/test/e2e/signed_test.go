package e2e_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/signing"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

const tick = 20 * time.Millisecond

// keyring returns a key for each service, which all services trust. Without trust they only sign.
func keyring(t *testing.T, trust bool) map[string]mesh.Signing {
	t.Helper()
	out, trusted := map[string]mesh.Signing{}, []string{}
	for _, name := range killable {
		key, err := signing.Create()
		require.NoError(t, err)
		out[name] = mesh.Signing{Key: key.Reveal()}
		trusted = append(trusted, name+"="+key.Public().String())
	}
	if trust {
		trustAll(out, strings.Join(trusted, ","))
	}
	return out
}

func trustAll(keys map[string]mesh.Signing, trusted string) {
	for name, k := range keys {
		k.Trusted = trusted
		keys[name] = k
	}
}

// withSignatures makes the services sign and verify messages.
func withSignatures(r *rig) { r.signing = keyring(r.t, true) }

// thief is a client with the credentials of pull, which has no signing key.
type thief struct {
	*rig

	conn *nats.Conn
}

func (r *rig) thief() thief {
	r.t.Helper()
	conn, err := nats.Connect("nats://pull:e2e@"+r.natsAddr,
		nats.CustomInboxPrefix(topology.InboxPrefix(topology.Pull)))
	require.NoError(r.t, err)
	r.t.Cleanup(conn.Close)
	return thief{r, conn}
}

// put makes NATS publish a message on a subject on which pull may not publish. pull writes the message to OBSERVED, and
// then requests it with that subject as the reply subject. put returns when the stream has stored the message n times.
func (a thief) put(stream, subject string, body proto.Message, n int) {
	a.t.Helper()
	data, err := proto.Marshal(body)
	require.NoError(a.t, err)
	s, err := a.mesh.JetStream().Stream(a.t.Context(), stream)
	require.NoError(a.t, err)
	before := s.CachedInfo().State.LastSeq
	require.NoError(a.t, a.conn.PublishMsg(&nats.Msg{Subject: "$KV.OBSERVED.default.evil", Data: data}))
	require.NoError(a.t, a.conn.Flush())
	require.Eventually(a.t, func() bool {
		observed, err := a.mesh.JetStream().KeyValue(a.t.Context(), topology.BucketObserved)
		require.NoError(a.t, err)
		entry, err := observed.Get(a.t.Context(), "default.evil")
		return err == nil && bytes.Equal(entry.Value(), data)
	}, patience, tick)
	for range n {
		require.NoError(a.t, a.conn.PublishMsg(&nats.Msg{
			Subject: "$JS.API.DIRECT.GET.KV_OBSERVED.$KV.OBSERVED.default.evil", Reply: subject,
		}))
	}
	require.Eventually(a.t, func() bool {
		info, err := s.Info(a.t.Context())
		require.NoError(a.t, err)
		return info.State.LastSeq >= before+uint64(n)
	}, patience, tick, "NATS did not publish for the thief: is the test still one of the attack?")
}

// inject stores a message as the server would for a user who makes a consumer deliver it there. Such a message has no
// header that gives it away.
func (a thief) inject(subject string, body proto.Message) {
	a.t.Helper()
	data, err := proto.Marshal(body)
	require.NoError(a.t, err)
	_, err = a.mesh.JetStream().Publish(a.t.Context(), subject, data)
	require.NoError(a.t, err)
}

// waitDone waits until a consumer of push has nothing left in a stream.
func (r *rig) waitDone(c topology.Consumer) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		cons, err := r.mesh.JetStream().Consumer(r.t.Context(), c.Stream, c.Durable("default"))
		require.NoError(r.t, err)
		return cons.CachedInfo().NumPending+uint64(cons.CachedInfo().NumAckPending) == 0
	}, patience, tick, "%s of %s", c.Name, c.Stream)
}

func forgedMug() *catalogv1.ProductChange {
	return &catalogv1.ProductChange{
		Account: "default", ProductId: "mug", Version: 1 << 60, Operation: catalogv1.Operation_OPERATION_UPSERT,
		Product: mug("Forged", "1"),
	}
}

func (r *rig) amount() int64 {
	r.t.Helper()
	_, prices := r.stripeProduct("mug")
	require.Contains(r.t, prices, "mug-one")
	return prices["mug-one"].UnitAmount
}

// The test forges a state of a product with pull's credentials. It first shows that a mesh without signatures accepts
// it, so that the attack is real.
func TestSignatures_ForgedChangeIsIgnored(t *testing.T) {
	t.Parallel()
	t.Run("not signed", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, stripesim.Config{Limits: stripesim.Limits{Off: true}})
		r.upsert(mug("Mug", "1400"))
		r.waitAmount(1400)
		subject := topology.CatalogSubject("default", topology.Live, "mug")
		thief := r.thief()
		thief.put(topology.StreamCatalog, subject, forgedMug(), 1)
		r.waitDone(topology.PushLive)
		require.EqualValues(t, 1400, r.amount(), "an answer to a direct get is refused in any case")
		thief.inject(subject, forgedMug())
		r.waitAmount(1)
		status, err := r.control.GetStatus(t.Context(), connect.NewRequest(&controlv1.GetStatusRequest{}))
		require.NoError(t, err)
		require.Equal(t, "not signed", status.Msg.GetSignatures())
	})
	t.Run("signed", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, stripesim.Config{Limits: stripesim.Limits{Off: true}}, withSignatures)
		r.upsert(mug("Mug", "1400"))
		r.waitConverged()
		thief := r.thief()
		for _, lane := range []topology.Lane{topology.Live, topology.Bulk} {
			subject := topology.CatalogSubject("default", lane, "mug")
			thief.put(topology.StreamCatalog, subject, forgedMug(), 3)
			thief.inject(subject, forgedMug())
		}
		for _, c := range []topology.Consumer{topology.PushLive, topology.PushBulk, topology.ReconciliationCatalog} {
			r.waitDone(c)
		}
		require.EqualValues(t, 1400, r.amount())
		r.waitConverged()
		status, err := r.control.GetStatus(t.Context(), connect.NewRequest(&controlv1.GetStatusRequest{}))
		require.NoError(t, err)
		require.EqualValues(t, 1, status.Msg.GetInSync())
		require.Equal(t, "signed and checked", status.Msg.GetSignatures())
		require.Zero(t, status.Msg.GetDrifted()+status.Msg.GetDead()+status.Msg.GetPending())

		// The catalog continues to work, also after a start, which reads the end of the live lane.
		r.exec("UPDATE driftless.prices SET unit_amount = 1500 WHERE id = 'mug-one'")
		r.waitConverged()
		require.EqualValues(t, 1500, r.amount())
		thief.put(topology.StreamCatalog, topology.CatalogSubject("default", topology.Live, "mug"), forgedMug(), 1)
		r.stop(topology.Ingestion)
		r.start(topology.Ingestion)
		r.exec("UPDATE driftless.prices SET unit_amount = 1600 WHERE id = 'mug-one'")
		r.waitConverged()
		require.EqualValues(t, 1600, r.amount())
		_, sync := r.sync("mug")
		require.NoError(t, sync)
		r.waitDone(topology.PushCommand)
		require.EqualValues(t, 1600, r.amount())
	})
}

// waitAmount waits until the product's default price has an amount. While one price replaces another, both are active.
func (r *rig) waitAmount(amount int64) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		p, err := r.stripe.Products.Get("mug", nil)
		if err != nil || p.DefaultPrice == nil {
			return false
		}
		price, err := r.stripe.Prices.Get(p.DefaultPrice.ID, nil)
		return err == nil && price.UnitAmount == amount
	}, patience, tick, "the amount of mug-one is not %d", amount)
}

func (r *rig) sync(product string) (*connect.Response[controlv1.SyncProductsResponse], error) {
	return r.control.SyncProducts(r.t.Context(),
		connect.NewRequest(&controlv1.SyncProductsRequest{ProductIds: []string{product}}))
}

// The test orders push, with pull's credentials, to archive a product that only Stripe has.
func TestSignatures_ForgedCommandIsIgnored(t *testing.T) {
	t.Parallel()
	forged := &meshv1.Command{
		Id:      "forged",
		Account: "default",
		Verb:    &meshv1.Command_Sync{Sync: &meshv1.SyncProduct{ProductId: "extra", ArchiveExtra: true}},
	}
	subject := topology.CommandSubject(topology.Push, "default", topology.VerbSync, "extra")
	attack := func(r *rig) {
		_, err := r.stripe.Products.New(&stripe.ProductParams{ID: stripe.String("extra"), Name: stripe.String("Extra")})
		require.NoError(t, err)
		r.thief().put(topology.StreamCommand, subject, forged, 1)
		r.waitDone(topology.PushCommand)
	}
	active := func(r *rig) bool {
		p, err := r.stripe.Products.Get("extra", nil)
		require.NoError(t, err)
		return p.Active
	}
	t.Run("not signed", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, stripesim.Config{Limits: stripesim.Limits{Off: true}})
		attack(r)
		require.True(t, active(r), "an answer to a direct get is refused in any case")
		r.thief().inject(subject, forged)
		require.Eventually(t, func() bool { return !active(r) }, patience, tick)
	})
	t.Run("signed", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, stripesim.Config{Limits: stripesim.Limits{Off: true}}, withSignatures)
		attack(r)
		r.thief().inject(subject, forged)
		r.waitDone(topology.PushCommand)
		require.True(t, active(r))
		// Authentic commands are still executed.
		r.upsert(mug("Mug", "1400"))
		r.waitConverged()
		_, err := r.sync("mug")
		require.NoError(t, err)
		r.waitDone(topology.PushCommand)
		r.waitConverged()
	})
}

// CATALOG keeps 16 states of a product in a lane, forged ones included. The comparison finds that no authentic one is
// left.
func TestSignatures_EvictedStatesAreRestored(t *testing.T) {
	t.Parallel()
	r := newRig(t, stripesim.Config{Limits: stripesim.Limits{Off: true}}, withSignatures)
	r.upsert(mug("Mug", "1400"))
	r.waitConverged()
	r.stop(topology.Push)
	r.exec("UPDATE driftless.prices SET unit_amount = 1500 WHERE id = 'mug-one'")
	require.Eventually(t, func() bool { return r.desiredAmount() == "1500" }, patience, tick)
	thief := r.thief()
	for _, lane := range []topology.Lane{topology.Live, topology.Bulk} {
		thief.put(topology.StreamCatalog, topology.CatalogSubject("default", lane, "mug"), forgedMug(),
			topology.MaxStatesPerProduct)
	}
	require.Empty(t, r.desiredAmount(), "the authentic states are evicted")
	r.stop(topology.Ingestion)
	r.start(topology.Ingestion)
	r.start(topology.Push)
	r.waitAmount(1500)
	require.Equal(t, "1500", r.desiredAmount())
	r.waitConverged()
}

// desiredAmount returns the amount of mug-one in CATALOG, as ingestion reads it, or "" if there is none.
func (r *rig) desiredAmount() string {
	r.t.Helper()
	m, err := mesh.Connect(r.t.Context(), r.nats(topology.Ingestion))
	require.NoError(r.t, err)
	defer m.Close()
	latest, err := state.New(m).Desired().Latest(r.t.Context(), "default", "mug")
	require.NoError(r.t, err)
	for _, p := range latest.GetProduct().GetPrices() {
		if p.GetId() == "mug-one" {
			return p.GetUnitAmount()
		}
	}
	return ""
}

// First the services sign, and ingestion signs the states in CATALOG. Then they verify. Neither step loses a state that
// was not pushed yet, not even a removal.
func TestSignatures_TwoStepRollout(t *testing.T) {
	t.Parallel()
	r := newRig(t, stripesim.Config{Limits: stripesim.Limits{Off: true}})
	r.upsert(mug("Mug", "1400"), product(1), product(2), product(3))
	r.waitConverged()
	r.stop(topology.Push)
	r.exec("UPDATE driftless.prices SET unit_amount = 1500 WHERE id = 'mug-one'")
	r.exec("DELETE FROM driftless.products WHERE id = 'p1'")
	require.Eventually(t, func() bool { return r.desiredAmount() == "1500" && r.removed("p1") }, patience, tick)

	keys := keyring(t, true)
	trusted := keys[topology.Push].Trusted
	trustAll(keys, "")
	r.signing = keys
	for _, name := range []string{topology.Ingestion, topology.Pull, topology.Reconciliation} {
		r.stop(name)
		r.start(name)
	}
	require.Eventually(t, func() bool { return r.allSigned() }, patience, tick,
		"ingestion does not sign the messages of CATALOG")

	trustAll(keys, trusted)
	for _, name := range []string{topology.Ingestion, topology.Pull, topology.Reconciliation} {
		r.stop(name)
		r.start(name)
	}
	r.start(topology.Push)
	r.waitConverged()
	require.EqualValues(t, 1500, r.amount())
	p, err := r.stripe.Products.Get("p1", nil)
	require.NoError(t, err)
	require.False(t, p.Active, "the removal is lost")

	// Another key for ingestion is first trusted, then used, then the only one.
	next, err := signing.Create()
	require.NoError(t, err)
	trustAll(keys, trusted+",ingestion="+next.Public().String())
	in := keys[topology.Ingestion]
	in.Key = next.Reveal()
	keys[topology.Ingestion] = in
	for _, name := range killable {
		r.stop(name)
		r.start(name)
	}
	require.Eventually(t, func() bool { return r.allSigned() }, patience, tick, "ingestion does not use its new key")
	only := strings.Join(append(strings.Split(trusted, ",")[1:], "ingestion="+next.Public().String()), ",")
	trustAll(keys, only)
	for _, name := range killable {
		r.stop(name)
		r.start(name)
	}
	r.exec("UPDATE driftless.prices SET unit_amount = 1600 WHERE id = 'mug-one'")
	r.waitConverged()
	require.EqualValues(t, 1600, r.amount())
}

// Ingestion finds that no state in CATALOG is authentic.
func TestSignatures_OneStepRolloutLosesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, stripesim.Config{Limits: stripesim.Limits{Off: true}})
	r.upsert(mug("Mug", "1400"))
	r.waitConverged()
	r.stop(topology.Push)
	r.exec("UPDATE driftless.prices SET unit_amount = 1500 WHERE id = 'mug-one'")
	require.Eventually(t, func() bool { return r.desiredAmount() == "1500" }, patience, tick)
	r.signing = keyring(t, true)
	for _, name := range killable {
		r.stop(name)
		r.start(name)
	}
	r.waitAmount(1500)
	r.waitConverged()
}

func (r *rig) removed(product string) bool {
	r.t.Helper()
	latest, err := r.stores.Desired().Latest(r.t.Context(), "default", product)
	require.NoError(r.t, err)
	return latest.GetOperation() == catalogv1.Operation_OPERATION_DELETE
}

// allSigned reports whether the latest state of each product is signed with ingestion's present key.
func (r *rig) allSigned() bool {
	r.t.Helper()
	m, err := mesh.Connect(r.t.Context(), r.nats(topology.Ingestion))
	require.NoError(r.t, err)
	defer m.Close()
	all := true
	require.NoError(r.t, state.New(m).Desired().EachProduct(r.t.Context(), "default", func(tokens []string) error {
		states, err := state.New(m).Desired().StatesByToken(r.t.Context(), "default", tokens)
		for _, s := range states {
			all = all && s.Change != nil && s.Current
		}
		return err
	}))
	return all
}
