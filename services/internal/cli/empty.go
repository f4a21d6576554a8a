package cli

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/alecthomas/kong"
)

// refuseEmpty refuses an argument, or a flag of the command, that was given without a value. A script may have meant a
// variable that is not set, and without the flag most commands act on more: `approve --rule "$RULE" --for 1h` would let
// every rule pass. Settings may be emptied; they have an environment variable. So may flags with the tag empty.
func refuseEmpty(parsed *kong.Context) error {
	for _, p := range parsed.Path {
		switch {
		case p.Flag != nil && len(p.Flag.Envs) == 0 && !p.Flag.Tag.Has("empty") && isEmpty(p.Flag.Target):
			return fmt.Errorf("--%s is empty: give it a value, or leave the flag out", p.Flag.Name)
		case p.Positional != nil && isEmpty(p.Positional.Target):
			return fmt.Errorf("the argument %s is empty", p.Positional.Summary())
		}
	}
	return nil
}

// isEmpty reports whether a value is an empty text, or a list without a text that is not empty.
func isEmpty(value reflect.Value) bool {
	switch value.Kind() {
	case reflect.String:
		return value.Len() == 0
	case reflect.Slice:
		texts, ok := reflect.TypeAssert[[]string](value)
		return ok && !slices.ContainsFunc(texts, func(text string) bool { return text != "" })
	default:
		return false
	}
}
