package reconciliation_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func (r *rig) addDeadLetter(service, id, reason string, version uint64) *meshv1.DeadLetter {
	r.t.Helper()
	letter := &meshv1.DeadLetter{
		Service:   service,
		Account:   "default",
		ProductId: id,
		Version:   version,
		Reason:    reason,
		Message:   "no",
		LastAt:    timestamppb.Now(),
	}
	require.NoError(r.t, r.mesh.DeadLetter(r.t.Context(), letter))
	require.Eventually(r.t, func() bool { return slices.Contains(r.letters(`{}`), service+" "+id) }, patience,
		10*time.Millisecond)
	return letter
}

// letters lists the open letters of a selection by service and product.
func (r *rig) letters(request string) []string {
	r.t.Helper()
	out := []string{}
	for _, l := range ask[controlv1.ListDeadLettersResponse](r, "ListDeadLetters", request).GetDeadLetters() {
		out = append(out, l.GetService()+" "+l.GetProductId())
	}
	slices.Sort(out)
	return out
}

// isStored reports whether DEAD holds a letter of a service about a product.
func (r *rig) isStored(service, id string) bool {
	r.t.Helper()
	return r.last(topology.StreamDead, topology.DeadSubject(service, "default", id)) != nil
}

func (r *rig) last(stream, subject string) *jetstream.RawStreamMsg {
	r.t.Helper()
	s, err := r.mesh.JetStream().Stream(r.t.Context(), stream)
	require.NoError(r.t, err)
	msg, err := s.GetLastMsgForSubject(r.t.Context(), subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	require.NoError(r.t, err)
	return msg
}

// lastCommand is the latest command on a subject of COMMAND.
func (r *rig) lastCommand(subject string) *meshv1.Command {
	r.t.Helper()
	msg := r.last(topology.StreamCommand, subject)
	if msg == nil {
		return nil
	}
	command := &meshv1.Command{}
	require.NoError(r.t, proto.Unmarshal(msg.Data, command))
	return command
}

func TestListDeadLetters_Filters(t *testing.T) {
	r := newRig(t)
	r.start()
	r.addDeadLetter(topology.Push, "mug", topology.ReasonRefused, 10)
	r.addDeadLetter(topology.Push, "cup", topology.ReasonExhausted, 11)
	r.addDeadLetter(topology.Ingestion, "jar", topology.ReasonInvalidProduct, 12)
	for request, want := range map[string][]string{
		`{}`:                              {"ingestion jar", "push cup", "push mug"},
		`{"service":"push"}`:              {"push cup", "push mug"},
		`{"reason":"refused_by_stripe"}`:  {"push mug"},
		`{"product_ids":["jar","other"]}`: {"ingestion jar"},
		`{"product_ids":["jar","mug"],"service":"push","reason":"refused_by_stripe"}`: {"push mug"},
		`{"reason":"undecodable"}`: {},
	} {
		require.Equal(t, want, r.letters(request), request)
	}
}

func TestReplayDeadLetters_SyncsLatestStateByPush(t *testing.T) {
	r := newRig(t)
	r.cfg.GracePeriod = time.Hour
	r.start()
	r.desire("mug", "Mug", 10)
	r.addDeadLetter(topology.Push, "mug", topology.ReasonRefused, 10)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_DEAD)

	results := ask[controlv1.ReplayDeadLettersResponse](r, "ReplayDeadLetters",
		`{"selection":{"product_ids":["mug"]}}`).GetResults()
	require.Len(t, results, 1)
	require.Equal(t, topology.Push, results[0].GetOrdered())
	require.Empty(t, results[0].GetError())
	command := r.lastCommand(topology.CommandSubject(topology.Push, "default", topology.VerbSync, "mug"))
	require.Equal(t, "operator", command.GetIssuer())
	require.Equal(t, "mug", command.GetSync().GetProductId())
	require.True(t, command.GetSync().GetLook())
	require.Equal(t, "ordered", r.kinds("mug")[0])
	require.Equal(t, []string{"push mug"}, r.letters(`{}`), "the outcome of the command closes it")
	require.True(t, r.isStored(topology.Push, "mug"))

	// The product is refused again: the new letter replaces the old one.
	again := r.addDeadLetter(topology.Push, "mug", topology.ReasonNotConverging, 10)
	require.Eventually(t, func() bool {
		open := ask[controlv1.ListDeadLettersResponse](r, "ListDeadLetters", `{}`).GetDeadLetters()
		return len(open) == 1 && open[0].GetId() == again.GetId()
	}, patience, 10*time.Millisecond)
	require.True(t, r.isStored(topology.Push, "mug"))
	require.Equal(t, controlv1.ProductState_PRODUCT_STATE_DEAD, r.state("mug"))

	// The product is applied: the letter is gone, also from DEAD.
	r.observe("mug", "Mug", 10)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	require.Empty(t, r.letters(`{}`))
	require.Eventually(t, func() bool { return !r.isStored(topology.Push, "mug") }, patience, 10*time.Millisecond)
}

func TestReplayDeadLetters_BackfillsByIngestion(t *testing.T) {
	r := newRig(t)
	r.cfg.GracePeriod = time.Hour
	r.start()
	for i, id := range []string{"mug", "cup"} {
		r.addDeadLetter(topology.Ingestion, id, topology.ReasonInvalidProduct, uint64(20+i))
	}
	// The letter could not be decoded. Its product may be one that the catalog never had, which ingestion would report
	// as removed.
	r.addDeadLetter(topology.Ingestion, "unknown", topology.ReasonUndecodable, 0)
	r.addDeadLetter(topology.Pull, "jar", topology.ReasonUndecodable, 0)

	results := ask[controlv1.ReplayDeadLettersResponse](r, "ReplayDeadLetters",
		`{"selection":{"all":true}}`).GetResults()
	by := map[string]string{}
	for _, result := range results {
		require.Empty(t, result.GetError())
		by[result.GetProductId()] = result.GetOrdered()
	}
	require.Equal(t,
		map[string]string{
			"mug":     topology.Ingestion,
			"cup":     topology.Ingestion,
			"unknown": topology.Push,
			"jar":     topology.Push,
		}, by)
	command := r.lastCommand(topology.CommandSubject(topology.Ingestion, "default", topology.VerbBackfill, ""))
	require.Equal(t, "operator", command.GetIssuer())
	require.Equal(t, []string{"cup", "mug"}, command.GetBackfill().GetProductIds())
	require.Equal(t, []string{"ordered", "dead"}, r.kinds("mug"))
	require.True(t,
		r.lastCommand(topology.CommandSubject(topology.Push, "default", topology.VerbSync, "jar")).GetSync().GetLook())
	require.Equal(t, []string{"ingestion cup", "ingestion mug"}, r.letters(`{}`),
		"the command closes letters without a version")
	require.Eventually(t, func() bool { return !r.isStored(topology.Pull, "jar") }, patience, 10*time.Millisecond)

	r.desire("mug", "Mug", 25)
	r.observe("mug", "Mug", 25)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	require.Equal(t, []string{"ingestion cup"}, r.letters(`{}`))
	require.Eventually(t, func() bool { return !r.isStored(topology.Ingestion, "mug") }, patience, 10*time.Millisecond)
}

func TestReplayDeadLetters_DecidesFailedWriteBackAgain(t *testing.T) {
	r := newRig(t)
	r.cfg.GracePeriod = time.Hour
	r.start()
	r.desire("mug", "Mug", 10)
	payload, err := proto.Marshal(&meshv1.Command{Verb: &meshv1.Command_WriteBack{WriteBack: &meshv1.WriteBack{
		ProductId: "mug",
		Version:   10,
		Product:   &catalogv1.Product{Id: "mug", Name: "By hand"},
		Fields:    []string{"name"},
	}}})
	require.NoError(t, err)
	require.NoError(t, r.mesh.DeadLetter(t.Context(), &meshv1.DeadLetter{
		Service:   topology.Ingestion,
		Account:   "default",
		ProductId: "mug",
		Version:   10,
		Reason:    topology.ReasonWriteBackFailed,
		Payload:   payload,
		Stream:    topology.StreamCommand,
		Message:   "refused",
	}))
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_DEAD)
	detail := ask[controlv1.GetDeadLettersResponse](r, "GetDeadLetters", `{"product_id":"mug"}`).GetDeadLetters()
	require.Len(t, detail, 1)
	require.Equal(t, "By hand", detail[0].GetWanted().GetProduct().GetName())

	results := ask[controlv1.ReplayDeadLettersResponse](r, "ReplayDeadLetters",
		`{"selection":{"all":true}}`).GetResults()
	require.Len(t, results, 1)
	require.Equal(t, topology.Push, results[0].GetOrdered(),
		"a reread from Stripe, and the remaining difference is judged as usual")
	require.True(t,
		r.lastCommand(topology.CommandSubject(topology.Push, "default", topology.VerbSync, "mug")).GetSync().GetLook())
	require.Nil(t, r.lastCommand(topology.CommandSubject(topology.Ingestion, "default", topology.VerbBackfill, "")))
	require.Equal(t, []string{"ingestion mug"}, r.letters(`{}`))

	// The write-back succeeds after all.
	r.desire("mug", "By hand", 11)
	r.observe("mug", "By hand", 11)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	require.Empty(t, r.letters(`{}`))
}

func TestDropDeadLetters_RemovesLetter(t *testing.T) {
	r := newRig(t)
	stop := r.start()
	r.desire("mug", "Mug", 10)
	r.observe("mug", "Mug", 10)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_IN_SYNC)
	letter := r.addDeadLetter(topology.Ingestion, "mug", topology.ReasonInvalidProduct, 20)
	r.addDeadLetter(topology.Pull, "mug", topology.ReasonUndecodable, 0)
	r.addDeadLetter(topology.Pull, "cup", topology.ReasonUndecodable, 0)

	dropped := ask[controlv1.DropDeadLettersResponse](r, "DropDeadLetters",
		`{"selection":{"product_ids":["mug","other"],"service":"ingestion"},"why":"made by mistake"}`).GetResults()
	require.Len(t, dropped, 2)
	require.Equal(t, letter.GetId(), dropped[0].GetLetterId())
	require.Empty(t, dropped[0].GetError())
	require.Equal(t, "other", dropped[1].GetProductId())
	require.Equal(t, "no such dead letter is open", dropped[1].GetError())
	require.Equal(t, []string{"pull cup", "pull mug"}, r.letters(`{}`))
	require.Equal(t, controlv1.ProductState_PRODUCT_STATE_DEAD, r.state("mug"), "another letter is open")
	require.False(t, r.isStored(topology.Ingestion, "mug"))
	entry := ask[controlv1.ListHistoryResponse](r, "ListHistory", `{"product_id":"mug"}`).GetEntries()[0]
	require.Equal(t, "dropped", entry.GetKind())
	require.Equal(t, "by operator: invalid_product (made by mistake)", entry.GetDetail())

	ask[controlv1.DropDeadLettersResponse](r, "DropDeadLetters", `{"selection":{"reason":"undecodable"}}`)
	require.Empty(t, r.letters(`{}`))
	require.Equal(t, controlv1.ProductState_PRODUCT_STATE_IN_SYNC, r.state("mug"))

	// A ledger that is created again does not have them either.
	stop()
	r.cfg.LedgerURL = localtest.Postgres(t)
	stream, err := r.mesh.JetStream().Stream(t.Context(), topology.StreamDead)
	require.NoError(t, err)
	require.Zero(t, stream.CachedInfo().State.Msgs)
}

func TestDropDeadLetters_LetsProductDriftAndDieAgain(t *testing.T) {
	r := newRig(t)
	r.start()
	r.ackCatalog()
	commands := r.commands("mug")
	r.desire("mug", "Mug", 10)
	r.addDeadLetter(topology.Push, "mug", topology.ReasonRefused, 10)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_DEAD)
	require.Zero(t, commands.Load())

	ask[controlv1.DropDeadLettersResponse](r, "DropDeadLetters", `{"selection":{"all":true}}`)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_DRIFTED)
	require.Eventually(t, func() bool { return commands.Load() == 1 }, patience, 10*time.Millisecond)

	r.addDeadLetter(topology.Push, "mug", topology.ReasonRefused, 10)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_DEAD)
	r.clock.advance(time.Hour)
	localtest.Holds(t, 3*grace, func() bool { return commands.Load() == 1 }, "the dead are not repaired")
}

func TestReplayDeadLetters_PagesLongSelections(t *testing.T) {
	r := newRig(t)
	r.cfg.GracePeriod = time.Hour
	r.start()
	const n = 450
	for i := range n {
		require.NoError(t, r.mesh.DeadLetter(t.Context(), &meshv1.DeadLetter{
			Service:   topology.Push,
			Account:   "default",
			ProductId: fmt.Sprintf("p%d", i),
			Version:   1,
			Reason:    topology.ReasonRefused,
			LastAt:    timestamppb.Now(),
		}))
	}
	require.Eventually(t, func() bool { return len(r.letters(`{"limit":1000}`)) == n }, patience, 50*time.Millisecond)
	seen := map[string]bool{}
	for after, parts := "", 1; ; parts++ {
		resp := ask[controlv1.ReplayDeadLettersResponse](r, "ReplayDeadLetters",
			fmt.Sprintf(`{"selection":{"all":true,"after":%q}}`, after))
		for _, result := range resp.GetResults() {
			require.False(t, seen[result.GetProductId()])
			require.Empty(t, result.GetError())
			seen[result.GetProductId()] = true
			after = result.GetProductId()
		}
		if !resp.GetTruncated() {
			require.Equal(t, 3, parts)
			break
		}
	}
	require.Len(t, seen, n)
	named := ask[controlv1.ReplayDeadLettersResponse](r, "ReplayDeadLetters",
		`{"selection":{"product_ids":["p7","p7","none"]}}`).GetResults()
	require.Len(t, named, 2)
	require.Equal(t, "none", named[0].GetProductId())
	require.NotEmpty(t, named[0].GetError())
	require.Equal(t, "p7", named[1].GetProductId())
}

func TestGetDeadLetters_ReturnsWantedStateAndSteps(t *testing.T) {
	r := newRig(t)
	r.cfg.GracePeriod = time.Hour
	r.start()
	r.desire("mug", "Mug", 10)
	r.eventually("mug", controlv1.ProductState_PRODUCT_STATE_PENDING)
	// The letter of a repair: the payload is the command, and CATALOG has the state.
	r.addDeadLetter(topology.Push, "mug", topology.ReasonRefused, 10)
	shown := ask[controlv1.GetDeadLettersResponse](r, "GetDeadLetters", `{"product_id":"mug"}`).GetDeadLetters()
	require.Len(t, shown, 1)
	require.Equal(t, "Mug", shown[0].GetWanted().GetProduct().GetName())
	require.Equal(t, "create product mug", shown[0].GetSteps()[0].GetStep())

	payload, err := proto.Marshal(&catalogv1.ProductChange{
		ProductId: "cup",
		Product:   &catalogv1.Product{Id: "cup", Name: strings.Repeat("c", 6000)},
	})
	require.NoError(t, err)
	require.NoError(t, r.mesh.DeadLetter(t.Context(), &meshv1.DeadLetter{
		Service:   topology.Ingestion,
		Account:   "default",
		ProductId: "cup",
		Version:   12,
		Reason:    topology.ReasonInvalidProduct,
		Payload:   payload,
	}))
	r.eventually("cup", controlv1.ProductState_PRODUCT_STATE_DEAD)
	shown = ask[controlv1.GetDeadLettersResponse](r, "GetDeadLetters", `{"product_id":"cup"}`).GetDeadLetters()
	require.Len(t, shown[0].GetWanted().GetProduct().GetName(), 6000)
	require.Empty(t, shown[0].GetSteps(), "it never came to CATALOG")
	require.Empty(t,
		ask[controlv1.GetDeadLettersResponse](r, "GetDeadLetters", `{"product_id":"other"}`).GetDeadLetters())
}

func TestDropDeadLetters_RequiresSelectionAndToken(t *testing.T) {
	r := newRig(t)
	r.cfg.Token = "secret"
	r.start()
	for _, method := range []string{"GetDeadLetters", "ReplayDeadLetters", "DropDeadLetters"} {
		status, _ := r.call(method, `{"selection":{"all":true}}`)
		require.Equal(t, http.StatusUnauthorized, status)
	}
	auth := []string{"Authorization", "Bearer secret"}
	for _, method := range []string{"ReplayDeadLetters", "DropDeadLetters"} {
		for _, body := range []string{`{}`, `{"selection":{}}`} {
			status, answer := r.call(method, body, auth...)
			require.Equal(t, http.StatusBadRequest, status)
			require.Contains(t, string(answer), "selection: ")
		}
	}
	status, answer := r.call("DropDeadLetters",
		fmt.Sprintf(`{"selection":{"all":true},"why":%q}`, strings.Repeat("y", 1001)), auth...)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, string(answer), "why: must have at most 1000")
	status, _ = r.call("GetDeadLetters", `{}`, auth...)
	require.Equal(t, http.StatusBadRequest, status)
}
