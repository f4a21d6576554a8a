package service

import (
	"fmt"

	"github.com/driftless-sync/driftless/services/catalog"
	"github.com/driftless-sync/driftless/services/config"
)

// Policy makes the policy of the settings; file is the one that they may be from. Its error says where the rule stands and
// what a rule can be.
func Policy(settings config.Policy, file string) (*catalog.Policy, error) {
	otherwise := catalog.Action(settings.DriftPolicy)
	rules := map[string]catalog.Rule{}
	for _, r := range settings.Policy {
		rule := catalog.Rule{Owner: catalog.Owner(r.Owner), Action: catalog.Action(r.Action)}
		if _, err := catalog.NewPolicy(otherwise, map[string]catalog.Rule{r.Field: rule}); err != nil {
			if r.At != "" {
				return nil, fmt.Errorf("%s:%s: policy: %w", file, r.At, err)
			}
			return nil, fmt.Errorf("policy: %w", err)
		}
		if _, twice := rules[r.Field]; twice {
			return nil, fmt.Errorf("policy: %s: there are two rules", r.Field)
		}
		rules[r.Field] = rule
	}
	p, err := catalog.NewPolicy(otherwise, rules)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	return p, nil
}
