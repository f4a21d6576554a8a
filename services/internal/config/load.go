package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/driftless-sync/driftless/services/internal/secretfile"
)

// SecretFlags is a note for the end of --help.
const SecretFlags = "Every user of the machine can see a secret in a flag in the list of processes (ps): " +
	"set it in the environment, or name a file with NAME_FILE."

// Parse fills settings, a pointer to a struct of this package's groups, from arguments, environment and file. It
// returns the file's mapping, nil if there is none. For --help and --version it prints them and ends the process.
func Parse(settings any, name, description, version string, args []string) (*Mapping, error) {
	mapping, _, err := ParseEffective(settings, name, description, version, args)
	return mapping, err
}

// ParseEffective parses as Parse does. It also returns the settings with their origins.
func ParseEffective(settings any, name, description, version string, args []string) (*Mapping, []Effective, error) {
	r := newResolver()
	var own struct {
		Version kong.VersionFlag `help:"Print the version."`
	}
	parser, err := kong.New(settings,
		append(r.options(), kong.Name(name), kong.Description(description+"\n\n"+SecretFlags),
			kong.Vars{"version": version}, kong.Embed(&own))...)
	if err != nil {
		return nil, nil, fmt.Errorf("settings of %s: %w", name, err)
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		return nil, nil, err
	}
	return r.mapping, r.effective(ctx), nil
}

// Loaded is what a command line has read from the environment and the file. Use it once the command line is parsed.
type Loaded struct{ resolver *resolver }

// Mapping returns the file's mapping, nil if there is none.
func (l *Loaded) Mapping() *Mapping { return l.resolver.mapping }

// IsSet reports whether the flag was set: on the command line, in the environment, or in the file. A value that equals
// the default counts as set. An empty variable does not.
func (l *Loaded) IsSet(ctx *kong.Context, name string) bool {
	for _, flag := range ctx.Flags() {
		if flag.Name != name {
			continue
		}
		_, inFile := l.resolver.values[name]
		return inFile || l.resolver.files[name] != "" || firstNonEmpty(flag.Envs) != "" || onCommandLine(ctx, flag)
	}
	return false
}

// onCommandLine reports whether the command line has the flag.
func onCommandLine(ctx *kong.Context, flag *kong.Flag) bool {
	return slices.ContainsFunc(ctx.Path, func(p *kong.Path) bool { return p.Flag == flag && !p.Resolved })
}

// Options returns options that make a command line of kong's read the environment, the secrets in files and the YAML
// file as Parse does.
func Options() ([]kong.Option, *Loaded) {
	r := newResolver()
	return r.options(), &Loaded{resolver: r}
}

// resolver finds the values of flags that are not on the command line. kong prefers a resolver to the environment, so
// it returns nothing if the environment has a value. A variable that is set and empty counts as not set.
type resolver struct {
	section
	// accounts are the accounts of the file by name; accountsAt is their position.
	accounts   map[string]*section
	accountsAt string
	// files are the files that secrets were read from, by the names of their flags.
	files map[string]string
}

// fileValue is a setting in the YAML file.
type fileValue struct {
	text string
	// file is the file with the value, a secret; empty if text is the value.
	file string
	// at is its position with its key: "driftless.yaml:2:1: slot".
	at string
}

func newResolver() *resolver { return &resolver{files: map[string]string{}} }

func (r *resolver) options() []kong.Option {
	return []kong.Option{
		kong.Resolvers(r), kong.UsageOnError(), kong.WithBeforeResolve(r.read), kong.WithAfterApply(r.nameFiles),
		kong.WithAfterApply(check), kong.PostBuild(unsetEmptyVariables),
	}
}

// unsetEmptyVariables removes the variables of flags that are set and empty from the environment of this process. kong
// would parse the empty text, which is no number and neither true nor false.
func unsetEmptyVariables(k *kong.Kong) error {
	return kong.Visit(k.Model, func(node kong.Visitable, next kong.Next) error {
		flag, ok := node.(*kong.Flag)
		if !ok {
			return next(nil)
		}
		for _, env := range flag.Envs {
			if os.Getenv(env) != "" {
				continue
			}
			if err := os.Unsetenv(env); err != nil {
				return err
			}
		}
		return next(nil)
	})
}

// nameFiles sets the fields with the tag file-of to the file that the flag's value was read from. The tag has the name
// of the flag: file-of:"database-url".
func (r *resolver) nameFiles(ctx *kong.Context) error {
	r.nameFilesIn(ctx.Model.Target)
	return nil
}

func (r *resolver) nameFilesIn(v reflect.Value) {
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return
	}
	for field, value := range v.Fields() {
		switch of, ok := field.Tag.Lookup("file-of"); {
		case ok:
			value.SetString(r.files[of])
		case field.IsExported():
			r.nameFilesIn(value)
		}
	}
}

// Validate is a hook of kong's. The file is checked when it is read.
func (r *resolver) Validate(*kong.Application) error { return nil }

// read reads the YAML file once and checks its values. Resolve would be too late, since kong puts the name of a flag
// before its errors.
func (r *resolver) read(ctx *kong.Context) error {
	if r.values != nil {
		return nil
	}
	if err := r.load(configPath(ctx)); err != nil {
		return err
	}
	sections := []*section{&r.section}
	for _, name := range slices.Sorted(maps.Keys(r.accounts)) {
		sections = append(sections, r.accounts[name])
	}
	for _, s := range sections {
		for _, flag := range ctx.Flags() {
			if v, ok := s.values[flag.Name]; ok && v.file == "" {
				if err := checkText(flag, v.text); err != nil {
					return fmt.Errorf("%s: %w", v.at, err)
				}
			}
		}
	}
	return r.selectAccount(ctx)
}

// Resolve returns a flag's value from a file named by <ENV>_FILE or from the YAML file.
func (r *resolver) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, env := range flag.Envs {
		direct := os.Getenv(env)
		if flag.Tag.Has("secret") || flag.Tag.Has("from-file") {
			text, path, err := readSecretFile(env, direct)
			if path != "" || err != nil {
				r.files[flag.Name] = path
				return text, err
			}
		}
		if direct != "" {
			return nil, nil
		}
	}
	if v, ok := r.values[flag.Name]; ok {
		if v.file != "" {
			r.files[flag.Name] = v.file
			return secretfile.Read(v.at, v.file)
		}
		return v.text, nil
	}
	return nil, nil
}

// readSecretFile reads the file that <ENV>_FILE names and returns its path, or "" if the variable is not set.
func readSecretFile(env, direct string) (text, path string, err error) {
	path = os.Getenv(env + "_FILE")
	if path == "" {
		return "", "", nil
	}
	if direct != "" {
		return "", "", fmt.Errorf("both %s and %s_FILE are set: keep one", env, env)
	}
	text, err = secretfile.Read(env+"_FILE", path)
	return text, path, err
}

// firstNonEmpty returns the value of the first variable that has one.
func firstNonEmpty(envs []string) string {
	for _, env := range envs {
		if v := os.Getenv(env); v != "" {
			return v
		}
	}
	return ""
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

// load reads the YAML file. Its keys are the names of the flags of all services, with "_" for "-": one file serves all
// services.
func (r *resolver) load(path string) error {
	r.values = map[string]fileValue{}
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("configuration file: %w", err)
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return fmt.Errorf("configuration file %w", yamlError(path, "", err))
	}
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		body, err := withoutAliases(path, doc.Body)
		if err != nil {
			return fmt.Errorf("configuration file %w", err)
		}
		entries, ok := body.(*ast.MappingNode)
		if !ok {
			return fmt.Errorf("configuration file %s: must have settings as \"key: value\"", path)
		}
		for _, entry := range entries.Values {
			read := r.readEntry
			if strings.HasPrefix(entry.Key.GetToken().Value, "x-") {
				// A place for anchors that are used elsewhere.
				continue
			}
			if entry.Key.GetToken().Value == "accounts" {
				read = r.readAccounts
			}
			if err := read(path, entry); err != nil {
				return err
			}
		}
	}
	return r.mappings()
}

func (s *section) readEntry(path string, entry *ast.MappingValueNode) error {
	key := entry.Key.GetToken()
	at := position(path, key)
	if key.Value == "catalog" {
		return s.readCatalog(path, entry)
	}
	flag := strings.ReplaceAll(key.Value, "_", "-")
	if secret, ok := strings.CutSuffix(flag, "-file"); ok && slices.Contains(namesFromFiles(), secret) {
		text, ok := scalar(entry.Value)
		switch {
		case !ok || text == "":
			return fmt.Errorf("%s: %s must be the path of a file", at, key.Value)
		case s.has(secret):
			return fmt.Errorf("%s: %s: the file also has %s: keep one", at, key.Value,
				strings.TrimSuffix(key.Value, "_file"))
		}
		s.values[secret] = fileValue{file: text, at: at + ": " + key.Value}
		return nil
	}
	if s.has(flag) && s.values[flag].file != "" {
		return fmt.Errorf("%s: %s: the file also has %s_file: keep one", at, key.Value, key.Value)
	}
	if !slices.Contains(allNames(), flag) || flag == "config" {
		return fmt.Errorf("%s: unknown setting %q; see docs/configuration.md", at, key.Value)
	}
	if flag == "policy" {
		if _, plain := scalar(entry.Value); !plain {
			rules, err := parsePolicy(path, entry.Value)
			if err != nil {
				return err
			}
			s.values[flag] = fileValue{text: rules.String(), at: at + ": " + key.Value}
			return nil
		}
	}
	if list, isList := entry.Value.(*ast.SequenceNode); isList && flag == "tokens" {
		tokens, err := parseTokens(path, list)
		if err != nil {
			return err
		}
		s.values[flag] = fileValue{text: tokens.String(), at: at + ": " + key.Value}
		return nil
	}
	text, ok := scalar(entry.Value)
	if list, isList := entry.Value.(*ast.SequenceNode); isList {
		text, ok = joinList(list)
	}
	if !ok {
		return fmt.Errorf("%s: %s must be a single value, or a list of single values", at, key.Value)
	}
	s.values[flag] = fileValue{text: text, at: at + ": " + key.Value}
	return nil
}

func (s *section) has(flag string) bool {
	_, ok := s.values[flag]
	return ok
}

// scalar returns a value as it is written. YAML may read a number where the text is a password, such as 0123.
func scalar(node ast.Node) (text string, ok bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	default:
		return "", false
	}
}

// joinList returns a list in the form of the environment.
func joinList(list *ast.SequenceNode) (text string, ok bool) {
	parts := make([]string, len(list.Values))
	for i, item := range list.Values {
		if parts[i], ok = scalar(item); !ok {
			return "", false
		}
	}
	return strings.Join(parts, ","), true
}

// yamlError returns an error of the YAML library without its excerpt of the file, which may have secrets.
func yamlError(path, what string, err error) error {
	if y, ok := errors.AsType[yaml.Error](err); ok {
		return fmt.Errorf("%s: %s%s", position(path, y.GetToken()), what, y.GetMessage())
	}
	return fmt.Errorf("%s: %s%w", path, what, err)
}

func position(path string, t *token.Token) string {
	if t == nil || t.Position == nil {
		return path
	}
	return fmt.Sprintf("%s:%d:%d", path, t.Position.Line, t.Position.Column)
}

// allNames returns the flags of all settings.
func allNames() []string { return namesWhere(func(reflect.StructField) bool { return true }) }

// namesFromFiles returns the settings that can be read from their own file: secrets, and settings with the tag
// from-file.
func namesFromFiles() []string {
	return namesWhere(func(f reflect.StructField) bool {
		_, secret := f.Tag.Lookup("secret")
		_, file := f.Tag.Lookup("from-file")
		return secret || file
	})
}

func namesWhere(which func(reflect.StructField) bool) []string {
	var out []string
	for _, g := range groups {
		for _, f := range fieldsOf(reflect.TypeOf(g.fields)) {
			if which(f) {
				out = append(out, f.Tag.Get("name"))
			}
		}
	}
	return out
}

// fieldsOf returns the settings of a group, embedded ones included.
func fieldsOf(t reflect.Type) []reflect.StructField {
	var out []reflect.StructField
	for f := range t.Fields() {
		if f.Anonymous {
			out = append(out, fieldsOf(f.Type)...)
		} else if _, companion := f.Tag.Lookup("file-of"); !companion {
			out = append(out, f)
		}
	}
	return out
}
