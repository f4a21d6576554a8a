package config

import (
	"fmt"

	"github.com/goccy/go-yaml/ast"

	"github.com/driftless-sync/driftless/services/internal/auth"
)

// TokenList is the text of auth.Entries.
type TokenList string

// Check returns what is wrong with the tokens, without their text: a token may have been pasted instead of its hash.
func (l TokenList) Check() error {
	if l == "" {
		return nil
	}
	if _, err := auth.ParseEntries(string(l)); err != nil {
		return fmt.Errorf("DRIFTLESS_TOKENS: %w", err)
	}
	return nil
}

// parseTokens reads the tokens of the file: a list of mappings with the fields of auth.Entry.
func parseTokens(path string, list *ast.SequenceNode) (auth.Entries, error) {
	var out auth.Entries
	for _, item := range list.Values {
		fields, err := mappingEntries(item)
		if err != nil {
			return nil, fmt.Errorf("%s: tokens: each token %w with name, role and hash", position(path, item.GetToken()), err)
		}
		var entry auth.Entry
		seen := map[string]bool{}
		for _, field := range fields {
			key := field.Key.GetToken()
			value, ok := scalar(field.Value)
			switch {
			case !ok:
				err = fmt.Errorf("%s must be a single value", key.Value)
			case seen[key.Value]:
				err = fmt.Errorf("%s is given twice", key.Value)
			default:
				err = entry.Set(key.Value, value)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: tokens: %w", position(path, key), err)
			}
			seen[key.Value] = true
		}
		if err := entry.Check(); err != nil {
			return nil, fmt.Errorf("%s: tokens: %w", position(path, item.GetToken()), err)
		}
		out = append(out, entry)
	}
	return out, nil
}
