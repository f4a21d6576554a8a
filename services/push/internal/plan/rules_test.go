package plan_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/push/internal/plan"
)

func TestCheck_Findings(t *testing.T) {
	t.Parallel()
	call := func(kind catalog.StepKind, params ...catalog.Param) []plan.PlannedCall {
		return []plan.PlannedCall{{Step: catalog.Step{Kind: kind, ProductID: productID, Params: params}}}
	}
	archive := call(catalog.UpdateProduct, catalog.Param{Name: "active", Value: "false"})
	active := &catalogv1.Product{Id: productID, Active: new(true)}
	for name, c := range map[string]struct {
		subject plan.Subject
		want    []plan.RuleName
	}{
		"no calls": {subject: plan.Subject{HoldCreations: true}},
		"a new product": {
			subject: plan.Subject{Calls: call(catalog.CreateProduct)},
			want:    []plan.RuleName{plan.LinkedElsewhere},
		},
		"a new product on hold": {
			subject: plan.Subject{Calls: call(catalog.CreateProduct), HoldCreations: true},
			want:    []plan.RuleName{plan.LinkedElsewhere, plan.CreationsOnHold},
		},
		"a new price of a product that is not written yet": {
			subject: plan.Subject{Calls: call(catalog.CreatePrice), HoldCreations: true},
			want:    []plan.RuleName{plan.LinkedElsewhere, plan.CreationsOnHold},
		},
		"a new price of a written product": {
			subject: plan.Subject{
				Observed: &catalogv1.Observed{Version: 1}, Calls: call(catalog.CreatePrice), HoldCreations: true,
			},
		},
		"a new price of an adopted product": {
			subject: plan.Subject{Adopted: true, Calls: call(catalog.CreatePrice), HoldCreations: true},
		},
		"an update on hold": {
			subject: plan.Subject{Calls: call(catalog.UpdateProduct), HoldCreations: true},
			want:    []plan.RuleName{plan.LinkedElsewhere},
		},
		"an active product is archived": {
			subject: plan.Subject{Observed: &catalogv1.Observed{Version: 1, Product: active}, Calls: archive},
		},
		"an unwritten active product is archived": {
			subject: plan.Subject{Observed: &catalogv1.Observed{Product: active}, Calls: archive},
			want:    []plan.RuleName{plan.LinkedElsewhere},
		},
		"an archived product": {
			subject: plan.Subject{
				Observed: &catalogv1.Observed{Version: 1, Product: &catalogv1.Product{Active: new(false)}},
				Calls:    archive,
			},
		},
		"a price is archived": {
			subject: plan.Subject{
				Observed: &catalogv1.Observed{Version: 1, Product: active},
				Calls:    call(catalog.UpdatePrice, catalog.Param{Name: "active", Value: "false"}),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var found []plan.RuleName
			for _, f := range plan.Check(c.subject) {
				found = append(found, f.Rule)
				require.Equal(t, f.Rule == plan.CreationsOnHold, f.Why != "")
			}
			require.Equal(t, c.want, found)
		})
	}
}
