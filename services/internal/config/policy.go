package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml/ast"
)

// Policy says who is right where catalog and Stripe differ. It must be the same for push and reconciliation.
type Policy struct {
	DriftPolicy string     `name:"drift-policy" env:"DRIFTLESS_DRIFT_POLICY" default:"repair" enum:"repair,report" help:"What to do about drift in fields without a rule: repair it, or only report it."`
	Policy      FieldRules `name:"policy" env:"DRIFTLESS_POLICY" placeholder:"FIELD=OWNER[:ACTION],..." help:"Rules by field, like description=stripe,metadata.seo_*=stripe:report; see policy.md."`
	Extras      string     `name:"extras" env:"DRIFTLESS_EXTRAS" default:"ignore" enum:"ignore,report,archive,import" help:"What to do about extras, active products in Stripe that the catalog never had: ignore, report or archive them, or import them into the catalog."`
}

// FieldRules are rules by field, in the order in which they are set. Package catalog checks their content.
type FieldRules []FieldRule //nolint:recvcheck // kong decodes into a pointer, and formats values

// FieldRule says who owns a field and what is done about differences.
type FieldRule struct {
	Field string
	// Owner is "catalog", "stripe" or "newest". Action is "repair", "write-back" or "report". Empty means the default.
	Owner, Action string
	// At is the line and column in the file, empty for a rule from elsewhere.
	At string
}

// escaper allows the separators of rules in a key of metadata.
var (
	escaper   = strings.NewReplacer("%", "%25", ",", "%2C", "=", "%3D", "#", "%23")
	unescaper = strings.NewReplacer("%25", "%", "%2C", ",", "%3D", "=", "%23", "#")
)

// String returns the rules in the form of a flag or variable.
func (r FieldRules) String() string {
	parts := make([]string, len(r))
	for i, rule := range r {
		parts[i] = escaper.Replace(rule.Field) + "=" + rule.Owner
		if rule.Action != "" {
			parts[i] += ":" + rule.Action
		}
		if rule.At != "" {
			parts[i] += "#" + rule.At
		}
	}
	return strings.Join(parts, ",")
}

// Decode implements kong's MapperValue.
func (r *FieldRules) Decode(ctx *kong.DecodeContext) error {
	var text string
	if err := ctx.Scan.PopValueInto("rules", &text); err != nil {
		return err
	}
	*r = nil
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		part, at, _ := strings.Cut(part, "#")
		field, rule, ok := strings.Cut(part, "=")
		if !ok || field == "" {
			return fmt.Errorf("%q must be FIELD=OWNER or FIELD=OWNER:ACTION, like description=stripe", part)
		}
		owner, action, _ := strings.Cut(rule, ":")
		*r = append(*r, FieldRule{Field: unescaper.Replace(field), Owner: owner, Action: action, At: at})
	}
	return nil
}

// parsePolicy reads the rules from the file. A field has either an owner, or a mapping of owner and action.
func parsePolicy(path string, node ast.Node) (FieldRules, error) {
	entries, err := mappingEntries(node)
	if err != nil {
		return nil, fmt.Errorf("%s: policy: %w", position(path, node.GetToken()), err)
	}
	var out FieldRules
	for _, entry := range entries {
		key := entry.Key.GetToken()
		rule := FieldRule{Field: key.Value, At: fmt.Sprintf("%d:%d", key.Position.Line, key.Position.Column)}
		at := position(path, key)
		if slices.ContainsFunc(out, func(r FieldRule) bool { return r.Field == rule.Field }) {
			return nil, fmt.Errorf("%s: policy: %s: has more than one rule", at, rule.Field)
		}
		if owner, ok := scalar(entry.Value); ok {
			rule.Owner = owner
			out = append(out, rule)
			continue
		}
		parts, err := mappingEntries(entry.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: policy: %s must be an owner, or have an owner and an action", at, rule.Field)
		}
		for _, part := range parts {
			value, ok := scalar(part.Value)
			switch name := part.Key.GetToken().Value; {
			case ok && name == "owner":
				rule.Owner = value
			case ok && name == "action":
				rule.Action = value
			default:
				return nil, fmt.Errorf("%s: policy: %s: a rule has an owner and an action, both single values, not %q",
					position(path, part.Key.GetToken()), rule.Field, name)
			}
		}
		out = append(out, rule)
	}
	return out, nil
}

// mappingEntries returns the entries of a mapping.
func mappingEntries(node ast.Node) ([]*ast.MappingValueNode, error) {
	switch n := node.(type) {
	case *ast.MappingNode:
		return n.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, nil
	default:
		return nil, errors.New("must be a mapping")
	}
}
