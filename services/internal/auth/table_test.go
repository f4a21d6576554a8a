package auth

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
)

// TestRules_CoverEveryRPC compares the tables with the contracts.
func TestRules_CoverEveryRPC(t *testing.T) {
	for service, rules := range map[protoreflect.ServiceDescriptor]Rules{
		controlv1.File_driftless_control_v1_control_proto.Services().ByName("ControlService"): Control,
		ingestv1.File_driftless_ingest_v1_ingest_proto.Services().ByName("IngestService"):     Ingest,
	} {
		methods := service.Methods()
		for i := range methods.Len() {
			method := methods.Get(i)
			rule := rules["/"+string(service.FullName())+"/"+string(method.Name())]
			require.NotZero(t, rule.Role, "%s needs a role in table.go", method.FullName())
			dryRun := method.Input().Fields().ByName("dry_run") != nil
			require.Equal(t, dryRun, rule.DryRun, "%s: DryRun must say whether the request has dry_run", method.FullName())
		}
		require.Len(t, rules, methods.Len(), "%s: the table has RPCs that do not exist", service.FullName())
	}
}
