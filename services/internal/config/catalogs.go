package config

import (
	"fmt"
	"maps"
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// catalogEntry is the key "catalog" of a section, before it is decoded.
type catalogEntry struct {
	path, at string
	node     *ast.MappingNode
}

func (s *section) readCatalog(path string, entry *ast.MappingValueNode) error {
	node, ok := entry.Value.(*ast.MappingNode)
	if !ok {
		return fmt.Errorf("%s: catalog must have products, prices and watch; see docs/mapping.md",
			position(path, entry.Key.GetToken()))
	}
	s.catalog = &catalogEntry{path: path, at: position(path, entry.Key.GetToken()), node: node}
	return nil
}

// mappings makes the mapping of each section once the file is read. An account's catalog overrides that of the top
// level key by key, and in write_back, too. So accounts may share queries or watched tables. With accounts, the catalog
// of the top level need not be complete.
func (r *resolver) mappings() error {
	if r.catalog != nil {
		m, err := r.catalog.mapping()
		if err != nil && len(r.accounts) == 0 {
			return err
		}
		r.mapping = m
	}
	for _, name := range slices.Sorted(maps.Keys(r.accounts)) {
		account := r.accounts[name]
		shared, own := r.catalog, account.catalog
		entry := own
		switch {
		case own == nil && shared == nil:
			continue
		case own == nil:
			entry = shared
		case shared != nil:
			entry = &catalogEntry{path: own.path, at: own.at, node: mergeCatalogs(own.node, shared.node)}
		}
		var err error
		if account.mapping, err = entry.mapping(); err != nil {
			if own == nil {
				return fmt.Errorf("%w (%s)", err, account.at)
			}
			return err
		}
	}
	return nil
}

// mergeCatalogs returns a catalog with the entries of a shared one that it lacks.
func mergeCatalogs(own, shared *ast.MappingNode) *ast.MappingNode {
	const nested = "write_back"
	out := ast.Mapping(own.Start, own.IsFlowStyle, mergeEntries(own.Values, shared.Values)...)
	mine, theirs := entryOf(own.Values, nested), entryOf(shared.Values, nested)
	if mine == nil || theirs == nil {
		return out
	}
	a, isA := mine.Value.(*ast.MappingNode)
	b, isB := theirs.Value.(*ast.MappingNode)
	if isA && isB {
		both := ast.Mapping(a.Start, a.IsFlowStyle, mergeEntries(a.Values, b.Values)...)
		for i, e := range out.Values {
			if e == mine {
				out.Values[i] = ast.MappingValue(e.Start, e.Key, both)
			}
		}
	}
	return out
}

func (c *catalogEntry) mapping() (*Mapping, error) {
	m := &Mapping{}
	if err := yaml.NodeToValue(c.node, m, yaml.Strict()); err != nil {
		return nil, yamlError(c.path, "catalog: ", err)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%s: catalog: %w", c.at, err)
	}
	if err := c.checkChecks(m.Checks); err != nil {
		return nil, err
	}
	return m, nil
}
