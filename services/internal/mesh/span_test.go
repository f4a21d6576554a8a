package mesh

import (
	"testing"

	"github.com/stretchr/testify/require"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

func TestSubjectAttributes_NameAccount(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]string{
		topology.CatalogSubject("a", topology.Bulk, "p"):                        "a",
		topology.StripeSubject("a", "p"):                                        "a",
		topology.SyncSubject("a", meshv1.OutcomeKind_OUTCOME_KIND_APPLIED, "p"): "a",
		topology.DeadSubject(topology.Push, "a", "p"):                           "a",
		topology.CommandSubject(topology.Pull, "a", topology.VerbScan, ""):      "a",
		topology.CommandSubject(topology.Push, "a", topology.VerbSync, "p"):     "a",
		"$KV." + topology.BucketObserved + ".a.p":                               "a",
		"retry.push.a.p":     "a",
		"retry.due.push.a.p": "a",
		"nonsense":           "",
	} {
		require.Equal(t, want, subjectAttributes(subject).Account, subject)
	}
}
