package config

import (
	"encoding"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/driftless-sync/driftless/services/internal/redact"
)

// Origin says where the value of a setting comes from.
type Origin string

// The origins, the strongest first.
const (
	// FromFlag means that the command line has it.
	FromFlag Origin = "flag"
	// FromSecretFile means that a file of its own has it, which the environment or the configuration file names.
	FromSecretFile Origin = "secret_file"
	// FromEnvironment means that the environment has it.
	FromEnvironment Origin = "environment"
	// FromFile means that the configuration file has it.
	FromFile Origin = "file"
	// FromDefault means that it is set nowhere.
	FromDefault Origin = "default"
)

// Effective is a setting of a process, without secrets.
type Effective struct {
	// Name is the name as a flag.
	Name string
	// Value is the value as text. It is empty for a secret.
	Value string
	// Default is the default as text.
	Default string
	// IsSecret reports whether nobody may see the value.
	IsSecret bool
	// IsSet reports whether there is a value.
	IsSet  bool
	Origin Origin
	// At is the variable, the place in the configuration file, or the path of the secret's file. It is empty for a flag
	// and a default.
	At string
}

// effective returns the settings of a command line that was parsed, in the order of docs/configuration.md.
func (r *resolver) effective(ctx *kong.Context) []Effective {
	flags := map[string]*kong.Flag{}
	for _, flag := range ctx.Flags() {
		flags[flag.Name] = flag
	}
	var out []Effective
	for _, name := range allNames() {
		flag := flags[name]
		if flag == nil || slices.ContainsFunc(out, func(e Effective) bool { return e.Name == name }) {
			continue
		}
		e := Effective{Name: name, IsSecret: isSecret(flag)}
		e.Origin, e.At = r.origin(ctx, flag)
		value := valueText(flag.Target)
		e.IsSet = value != ""
		if !e.IsSecret {
			e.Value, e.Default = hidePasswords(value), defaultText(flag)
		}
		out = append(out, e)
	}
	return out
}

// isSecret reports whether the values of a flag are not shown. The hashes of tokens are not, because a short token can
// be guessed from its hash.
func isSecret(flag *kong.Flag) bool { return flag.Tag.Has("secret") || flag.Name == "tokens" }

// origin returns where the value of a flag comes from. The order is that of Resolve.
func (r *resolver) origin(ctx *kong.Context, flag *kong.Flag) (Origin, string) {
	if onCommandLine(ctx, flag) {
		return FromFlag, ""
	}
	if path := r.files[flag.Name]; path != "" {
		return FromSecretFile, path
	}
	for _, env := range flag.Envs {
		if os.Getenv(env) != "" {
			return FromEnvironment, env
		}
	}
	if v, ok := r.values[flag.Name]; ok {
		// Without the key, which is the name.
		at := v.at
		if i := strings.LastIndex(at, ": "); i >= 0 {
			at = at[:i]
		}
		return FromFile, at
	}
	return FromDefault, ""
}

// defaultText returns the default of a flag in the form of valueText.
func defaultText(flag *kong.Flag) string {
	v := reflect.New(flag.Target.Type()).Elem()
	if flag.HasDefault {
		scan := kong.Scan().PushTyped(flag.Default, kong.FlagValueToken)
		if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: scan}, v); err != nil {
			return flag.Default
		}
	}
	return valueText(v)
}

// valueText returns a value as one writes it. Secrets are hidden by their types.
func valueText(v reflect.Value) string {
	if d, ok := reflect.TypeAssert[time.Duration](v); ok {
		return durationText(d)
	}
	switch v.Kind() { //nolint:exhaustive // there are no others among the settings
	case reflect.String:
		return fmt.Sprint(v.Interface())
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'f', -1, 64)
	case reflect.Slice:
		if text, ok := reflect.TypeAssert[encoding.TextMarshaler](v); ok {
			out, _ := text.MarshalText()
			return string(out)
		}
		if text, ok := reflect.TypeAssert[fmt.Stringer](v); ok {
			return text.String()
		}
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = valueText(v.Index(i))
		}
		return strings.Join(parts, ",")
	}
	return fmt.Sprint(v.Interface())
}

// durationText returns a duration without units that are zero: "10m", not "10m0s".
func durationText(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = strings.TrimSuffix(text, zero[1:])
		}
	}
	return text
}

// hidePasswords hides the passwords in a value, which may be an address or several.
func hidePasswords(value string) string {
	if !strings.Contains(value, "://") {
		return value
	}
	return redact.URL(value)
}
