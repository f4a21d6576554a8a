package service

import (
	"fmt"

	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/config"
)

// Policy makes the policy from the settings. file is the configuration file, for error messages. mapping is nil for the
// built-in tables. An error says where the rule is and what a rule can be, or which statement the mapping lacks to
// write back or import as the policy asks.
func Policy(settings config.Policy, file string, mapping *config.Mapping) (*catalog.Policy, error) {
	otherwise := catalog.Action(settings.DriftPolicy)
	rules := map[string]catalog.Rule{}
	for _, r := range settings.Policy {
		rule := catalog.Rule{Owner: catalog.Owner(r.Owner), Action: catalog.Action(r.Action)}
		alone, err := catalog.NewPolicy(otherwise, map[string]catalog.Rule{r.Field: rule})
		if err == nil && alone.Rule(r.Field).Action == catalog.WriteBack {
			err = mapping.CheckWriteBack(r.Field)
		}
		if err != nil {
			if r.At != "" {
				return nil, fmt.Errorf("%s:%s: policy: %w", file, r.At, err)
			}
			return nil, fmt.Errorf("policy: %w", err)
		}
		if _, twice := rules[r.Field]; twice {
			return nil, fmt.Errorf("policy: %s: has more than one rule", r.Field)
		}
		rules[r.Field] = rule
	}
	p, err := catalog.NewPolicy(otherwise, rules)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	if settings.Extras == "import" {
		if err := mapping.CheckImport(); err != nil {
			return nil, fmt.Errorf("extras: import: %w", err)
		}
	}
	return p, nil
}
