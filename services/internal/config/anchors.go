package config

import (
	"fmt"
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// anchors replaces the aliases of a YAML document by the values of their anchors. The YAML library only knows the
// anchors within the part that it decodes.
type anchors struct {
	path  string
	nodes map[string]ast.Node
	// open are the anchors that are being replaced, outermost first.
	open []string
}

// withoutAliases returns the body of a document without anchors, aliases and merge keys.
func withoutAliases(path string, body ast.Node) (ast.Node, error) {
	a := &anchors{path: path, nodes: map[string]ast.Node{}}
	return a.replace(body)
}

func (a *anchors) replace(node ast.Node) (ast.Node, error) {
	var err error
	switch n := node.(type) {
	case *ast.AnchorNode:
		name := n.Name.GetToken().Value
		a.open = append(a.open, name)
		value, err := a.replace(n.Value)
		a.open = a.open[:len(a.open)-1]
		a.nodes[name] = value
		return value, err
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		if slices.Contains(a.open, name) {
			return nil, fmt.Errorf("%s: alias %q is inside its own anchor", position(a.path, n.GetToken()), name)
		}
		if value, ok := a.nodes[name]; ok {
			return value, nil
		}
		return nil, fmt.Errorf(
			"%s: there is no anchor %q before this alias: write &%s before the value that it repeats",
			position(a.path, n.GetToken()), name, name)
	case *ast.MappingNode:
		return a.mapping(n)
	case *ast.SequenceNode:
		for i := range n.Values {
			if n.Values[i], err = a.replace(n.Values[i]); err != nil {
				return nil, err
			}
		}
	}
	return node, nil
}

// mapping replaces aliases in the values of a mapping. It appends the entries of a merge key (<<) to the mapping's own
// entries, which win.
func (a *anchors) mapping(n *ast.MappingNode) (ast.Node, error) {
	var own, merged []*ast.MappingValueNode
	for _, entry := range n.Values {
		value, err := a.replace(entry.Value)
		if err != nil {
			return nil, err
		}
		if !entry.Key.IsMergeKey() {
			entry.Value = value
			own = append(own, entry)
			continue
		}
		sources := []ast.Node{value}
		if list, ok := value.(*ast.SequenceNode); ok {
			sources = list.Values
		}
		for _, source := range sources {
			from, ok := source.(*ast.MappingNode)
			if !ok {
				return nil, fmt.Errorf("%s: << takes a mapping, as in <<: *name",
					position(a.path, entry.Key.GetToken()))
			}
			merged = mergeEntries(merged, from.Values)
		}
	}
	n.Values = mergeEntries(own, merged)
	return n, nil
}

// mergeEntries returns entries, and those of others whose keys they lack.
func mergeEntries(entries, others []*ast.MappingValueNode) []*ast.MappingValueNode {
	out := slices.Clone(entries)
	for _, other := range others {
		if entryOf(out, other.Key.GetToken().Value) == nil {
			out = append(out, other)
		}
	}
	return out
}

func entryOf(entries []*ast.MappingValueNode, key string) *ast.MappingValueNode {
	for _, e := range entries {
		if e.Key.GetToken().Value == key {
			return e
		}
	}
	return nil
}
