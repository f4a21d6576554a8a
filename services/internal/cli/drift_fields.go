package cli

import (
	"errors"
	"slices"

	"github.com/alecthomas/kong"
)

var errNoField = errors.New("--field names no field: name one, or leave the flag out to decide about all")

// AfterApply refuses --field without a name. The API takes a list without fields for all of them, and a script may have
// meant one whose variable is not set.
func (cmd *driftIgnoreCmd) AfterApply(parsed *kong.Context) error {
	return checkFields(parsed, cmd.Field)
}

// AfterApply refuses --field without a name.
func (cmd *driftResolveCmd) AfterApply(parsed *kong.Context) error {
	return checkFields(parsed, cmd.Field)
}

func checkFields(parsed *kong.Context, fields []string) error {
	isField := func(p *kong.Path) bool { return p.Flag != nil && p.Flag.Name == "field" }
	if len(fields) == 0 && slices.ContainsFunc(parsed.Path, isField) {
		return errNoField
	}
	return nil
}
