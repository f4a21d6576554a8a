package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Mapping tells in SQL how the operator's tables are products and prices. It is under the key "catalog" of the
// YAML file; without it the built-in tables are used.
type Mapping struct {
	// Products is a query whose columns are Stripe's fields of a product: id and name, and any others.
	Products string `yaml:"products"`
	// Prices is a query whose columns are Stripe's fields of a price: id, product, currency and an amount.
	Prices string `yaml:"prices"`
	// Watch are the tables whose changes concern products.
	Watch []WatchedTable `yaml:"watch"`
}

// WatchedTable is a table and its column that holds the id of the product that a row is about.
type WatchedTable struct {
	Table     string `yaml:"table"`
	ProductID string `yaml:"product_id"`
}

// Parse fills settings, a pointer to a struct of this package's groups, from arguments, environment and file, and
// returns the file's mapping, nil if there is none. It prints --help and --version itself and ends the process
// there, as command-line tools do.
func Parse(settings any, name, description, version string, args []string) (*Mapping, error) {
	r := &resolver{}
	parser, err := kong.New(settings, append(r.options(), kong.Name(name), kong.Description(description),
		kong.Vars{"version": version})...)
	if err != nil {
		return nil, fmt.Errorf("settings of %s: %w", name, err)
	}
	if _, err := parser.Parse(args); err != nil {
		return nil, err //nolint:wrapcheck // kong's errors name the flag and are read by people
	}
	return r.mapping, Check(settings)
}

// Check says which setting of a group, or of a struct that embeds groups, has a value that cannot be.
func Check(settings any) error {
	v := reflect.Indirect(reflect.ValueOf(settings))
	if c, ok := reflect.TypeAssert[interface{ check() error }](v); ok {
		return c.check() //nolint:wrapcheck // names the setting already
	}
	for i := range v.NumField() {
		if v.Type().Field(i).Anonymous {
			if err := Check(v.Field(i).Interface()); err != nil {
				return err
			}
		}
	}
	return nil
}

// Options make a command line of kong's read the environment, the secrets in files and the YAML file as Parse
// does. mapping returns the file's mapping once the command line has been parsed.
func Options() (options []kong.Option, mapping func() *Mapping) {
	r := &resolver{}
	return r.options(), func() *Mapping { return r.mapping }
}

// resolver finds the values of flags that are not given as such. kong gives a resolver the last word over the
// environment, so it says nothing where the environment does.
type resolver struct {
	loaded  bool
	values  map[string]any
	mapping *Mapping
}

func (r *resolver) options() []kong.Option {
	return []kong.Option{kong.Resolvers(r), kong.UsageOnError()}
}

// Validate is kong's hook; the file is checked when it is read.
func (r *resolver) Validate(*kong.Application) error { return nil }

// Resolve returns a flag's value from a file named by <ENV>_FILE or from the YAML file.
func (r *resolver) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if !r.loaded {
		if err := r.load(configPath(ctx)); err != nil {
			return nil, err
		}
		r.loaded = true
	}
	for _, env := range flag.Envs {
		direct, isSet := os.LookupEnv(env)
		if flag.Tag.Has("secret") {
			path := os.Getenv(env + "_FILE")
			if path != "" && direct != "" {
				return nil, fmt.Errorf("both %s and %s_FILE are set: keep one", env, env)
			}
			if path != "" {
				data, err := os.ReadFile(path)
				if err != nil {
					return nil, fmt.Errorf("%s_FILE: %w", env, err)
				}
				return strings.TrimRight(string(data), "\r\n"), nil
			}
		}
		if isSet {
			return nil, nil //nolint:nilnil // kong's way of saying that there is no value
		}
	}
	return r.values[flag.Name], nil
}

func configPath(ctx *kong.Context) string {
	for _, f := range ctx.Flags() {
		if f.Name == "config" {
			if v, ok := ctx.FlagValue(f).(string); ok && v != "" {
				return v
			}
		}
	}
	return os.Getenv("DRIFTLESS_CONFIG")
}

// load reads the YAML file. Its keys are the flags' names with "_" for "-", those of every service: one file serves
// them all.
func (r *resolver) load(path string) error {
	r.values = map[string]any{}
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("configuration file: %w", err)
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return fmt.Errorf("configuration file %s: %w", path, err)
	}
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		entries, ok := doc.Body.(*ast.MappingNode)
		if !ok {
			return fmt.Errorf("configuration file %s: must hold settings as \"key: value\"", path)
		}
		for _, entry := range entries.Values {
			if err := r.entry(path, entry); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *resolver) entry(path string, entry *ast.MappingValueNode) error {
	key := entry.Key.GetToken()
	at := fmt.Sprintf("%s:%d:%d", path, key.Position.Line, key.Position.Column)
	if key.Value == "catalog" {
		r.mapping = &Mapping{}
		if err := yaml.NodeToValue(entry.Value, r.mapping, yaml.Strict()); err != nil {
			return fmt.Errorf("%s: catalog: %w", at, err)
		}
		if err := r.mapping.check(); err != nil {
			return fmt.Errorf("%s: catalog: %w", at, err)
		}
		return nil
	}
	flag := strings.ReplaceAll(key.Value, "_", "-")
	if !slices.Contains(names(), flag) || flag == "config" {
		return fmt.Errorf("%s: unknown setting %q; see docs/configuration.md", at, key.Value)
	}
	var value any
	if err := yaml.NodeToValue(entry.Value, &value); err != nil {
		return fmt.Errorf("%s: %s: %w", at, key.Value, err)
	}
	switch value.(type) {
	case map[string]any, nil:
		return fmt.Errorf("%s: %s must be a single value", at, key.Value)
	case []any:
		var parts []string
		if err := yaml.NodeToValue(entry.Value, &parts); err != nil {
			return fmt.Errorf("%s: %s: %w", at, key.Value, err)
		}
		value = strings.Join(parts, ",")
	}
	r.values[flag] = fmt.Sprint(value)
	return nil
}

func (m *Mapping) check() error {
	switch {
	case strings.TrimSpace(m.Products) == "":
		return errors.New("products must be a query")
	case strings.TrimSpace(m.Prices) == "":
		return errors.New("prices must be a query")
	case len(m.Watch) == 0:
		return errors.New("watch must name at least one table, or no change would be seen")
	}
	for i, w := range m.Watch {
		if w.Table == "" || w.ProductID == "" {
			return fmt.Errorf("watch[%d] must have table and product_id, the column with the product's id", i)
		}
	}
	return nil
}

// names are the flags of all settings.
func names() []string {
	var out []string
	for _, g := range groups {
		for _, f := range fields(reflect.TypeOf(g.fields)) {
			out = append(out, f.Tag.Get("name"))
		}
	}
	return out
}

// fields are a group's settings, embedded ones included.
func fields(t reflect.Type) []reflect.StructField {
	var out []reflect.StructField
	for f := range t.Fields() {
		if f.Anonymous {
			out = append(out, fields(f.Type)...)
		} else {
			out = append(out, f)
		}
	}
	return out
}

var accountName = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)

func (m Mesh) check() error {
	if !accountName.MatchString(m.Account) {
		return fmt.Errorf("account %q: must be 1 to 32 lower-case letters, digits, - and _", m.Account)
	}
	return nil
}

func (s Stripe) check() error {
	if s.StripePullShare <= 0 || s.StripePullShare >= 1 {
		return fmt.Errorf("stripe-pull-share %v: must lie between 0 and 1", s.StripePullShare)
	}
	if s.StripeRate < 0 || s.StripeEndpointRate < 0 {
		return errors.New("stripe-rate and stripe-endpoint-rate: must not be negative")
	}
	return nil
}
