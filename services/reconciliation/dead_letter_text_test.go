package reconciliation_test

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/controltest"
)

func TestDeadLetter_StoresUnstorableText(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	noise := make([]byte, 5<<20)
	_, _ = rand.Read(noise)
	for _, letter := range []*meshv1.DeadLetter{
		{ProductId: string(noise[:5000]), Message: string(noise), Field: string(noise), Reason: string(noise)},
		{ProductId: "nul", Version: 7, Message: "one\x00two", Field: "name\x00", Traceparent: "\x00"},
		{ProductId: "long", Version: 8, Message: strings.Repeat("é", 3<<20), Payload: noise},
	} {
		letter.Service, letter.Account = topology.Push, "default"
		require.NoError(t, r.Mesh.DeadLetter(t.Context(), letter))
	}
	// An earlier version would have stored the letter like this.
	old := &meshv1.DeadLetter{
		Id:        "old",
		Service:   topology.Push,
		Account:   "default",
		ProductId: "old\x00" + strings.Repeat("p", 9000),
		Version:   9,
		Message:   "a\x00b",
		LastAt:    timestamppb.Now(),
	}
	require.NoError(t, r.Mesh.Publish(t.Context(), topology.DeadSubject(topology.Push, "default", "old"), old))
	require.Eventually(t, func() bool { return len(r.Letters(`{}`)) == 4 }, controltest.Patience, 10*time.Millisecond)
	require.Contains(t, r.Letters(`{"product_ids":["nul"]}`), "push nul")
}

func TestLedger_StoresTextWithNUL(t *testing.T) {
	r := controltest.New(t)
	r.Start()
	r.Desire("mug", "Mug", 1)
	_, err := r.Stores.Observed().Update(t.Context(), "default", "mug", func(o *catalogv1.Observed) error {
		o.Product = &catalogv1.Product{
			Id:          "mug",
			Name:        "M\x00ug",
			Description: `\u0000 as text`,
			Active:      proto.Bool(true),
		}
		o.Version = 1
		return nil
	})
	require.NoError(t, err)
	pool := localtest.Pool(t, r.Config.LedgerURL)
	require.Eventually(t, func() bool {
		var name, description string
		err := pool.QueryRow(t.Context(),
			`SELECT observed_json #>> '{product,name}', observed_json #>> '{product,description}'
			FROM driftless_ledger.product WHERE product_id = 'mug' AND observed_json IS NOT NULL`).Scan(&name,
			&description)
		return err == nil && strings.HasPrefix(name, "M␀ug (cleaned, ") && description == `\u0000 as text`
	}, controltest.Patience, 10*time.Millisecond)
}
