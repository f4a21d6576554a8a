package command

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestReceiver_IsTheServiceThatCarriesTheCommandOut(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	i := Issuer{Account: "default", Now: func() time.Time { return noon }}
	about := About{ID: "1", Issuer: "ann", Reason: "requested"}
	for want, c := range map[[2]string]*meshv1.Command{
		{topology.Push, topology.VerbSync}:           i.Sync(about, &meshv1.SyncProduct{}),
		{topology.Push, topology.VerbAdopt}:          i.Adopt(about, &meshv1.Adopt{}),
		{topology.Push, topology.VerbApprove}:        i.Approve(about, &meshv1.ApproveChange{}),
		{topology.Ingestion, topology.VerbWriteBack}: i.WriteBack(about, &meshv1.WriteBack{}),
		{topology.Pull, topology.VerbRead}:           i.Read(about, "prod_1"),
	} {
		service, verb, err := receiver(c)
		require.NoError(t, err)
		require.Equal(t, want, [2]string{service, verb})
		require.Equal(t, []string{"1", "default", "ann", "requested"},
			[]string{c.GetId(), c.GetAccount(), c.GetIssuer(), c.GetReason()})
		require.Equal(t, noon, c.GetIssuedAt().AsTime())
	}
	_, _, err := receiver(&meshv1.Command{Id: "2"})
	require.ErrorContains(t, err, "command 2 has no verb")
}
