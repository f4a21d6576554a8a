package config

import (
	"fmt"
	"math"
	"os"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

type rule struct {
	isValid func(reflect.Value) bool
	must    string
}

var (
	accountName = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)
	hostName    = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,253}$`)
	positive    = rule{func(v reflect.Value) bool { return !v.IsZero() }, "be more than 0"}
)

// Limits of the guard that always hold everything, or never anything, are mistakes.
var (
	guardShare = rule{
		func(v reflect.Value) bool { return v.Float() < 1 },
		"lie between 0, which switches the rule off, and less than 1, with which the rule could never hold anything",
	}
	guardLeast = rule{
		func(v reflect.Value) bool { return v.Uint() >= 1 },
		"be at least 1, since the rule could hold everything otherwise",
	}
)

// rules are the conditions of settings beyond their types. All numbers and times must be finite and not negative.
var rules = map[string]rule{
	"allowed-hosts":        {areHostNames, "be names of hosts, without scheme, port and path"},
	"account":              {isAccountName, "be 1 to 32 lower-case letters, digits, - and _"},
	"guard-share":          guardShare,
	"guard-price-share":    guardShare,
	"guard-currency-share": guardShare,
	"guard-least":          guardLeast,
	"guard-price-least":    guardLeast,
	"guard-currency-least": guardLeast,
	"guard-amount-change": {
		func(v reflect.Value) bool { return v.Float() == 0 || v.Float() >= 1 && v.Float() <= 10000 },
		"lie between 1 and 10000 percent, or be 0, which switches the rule off",
	},
	"guard-approvers": {
		func(v reflect.Value) bool { return v.Int() >= 1 && v.Int() <= 10 },
		"lie between 1 and 10",
	},
	"prices-archive-after": {
		func(v reflect.Value) bool { return time.Duration(v.Int()) <= MaxArchiveAfter },
		"be at most 8784h (366 days)",
	},
	"stripe-endpoint-rate": positive,
	"push-concurrency":     positive,
	"poll-interval":        positive,
	"replicas": {
		func(v reflect.Value) bool { return v.Int() == 1 || v.Int() == 3 || v.Int() == 5 },
		"be 1, 3 or 5",
	},
}

// isAccountName checks a name or a list of names.
func isAccountName(v reflect.Value) bool {
	if v.Kind() != reflect.Slice {
		return accountName.MatchString(v.String())
	}
	for i := range v.Len() {
		if !isAccountName(v.Index(i)) {
			return false
		}
	}
	return true
}

func areHostNames(v reflect.Value) bool {
	for i := range v.Len() {
		if !hostName.MatchString(v.Index(i).String()) {
			return false
		}
	}
	return true
}

// check returns an error for the first flag with a value that is not allowed, whatever its source.
func check(ctx *kong.Context) error {
	for _, flag := range ctx.Flags() {
		if c, ok := reflect.TypeAssert[interface{ Check() error }](flag.Target); ok {
			if err := c.Check(); err != nil {
				return err
			}
		}
		if err := checkValue(flag.Name, flag.Target); err != nil {
			return fmt.Errorf("%s: %w", sourceOf(ctx, flag), err)
		}
	}
	return nil
}

func checkValue(name string, v reflect.Value) error {
	rule, has := rules[name]
	var must string
	switch {
	case v.CanFloat() && (math.IsNaN(v.Float()) || math.IsInf(v.Float(), 0)):
		must = "be a number"
	case v.CanFloat() && v.Float() < 0, v.CanInt() && v.Int() < 0:
		must = "be 0 or more"
	case has && !rule.isValid(v):
		must = rule.must
	default:
		return nil
	}
	if v.Kind() == reflect.String {
		return fmt.Errorf("must %s, not %q", must, v)
	}
	return fmt.Errorf("must %s, not %v", must, v)
}

// sourceOf returns the variable that a flag's value comes from, or else the flag.
func sourceOf(ctx *kong.Context, flag *kong.Flag) string {
	if onCommandLine(ctx, flag) {
		return "--" + flag.Name
	}
	for _, env := range flag.Envs {
		if os.Getenv(env) != "" {
			return env
		}
	}
	return "--" + flag.Name
}

// checkText returns an error if a flag does not accept a text.
func checkText(flag *kong.Flag, text string) error {
	v := reflect.New(flag.Target.Type()).Elem()
	scan := kong.Scan().PushTyped(text, kong.FlagValueToken)
	if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: scan}, v); err != nil {
		return err
	}
	if flag.Enum != "" && !flag.EnumMap()[text] {
		return fmt.Errorf("must be one of %s, not %q", strings.Join(flag.EnumSlice(), ", "), text)
	}
	return checkValue(flag.Name, v)
}
