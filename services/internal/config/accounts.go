package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml/ast"
)

// section is a part of the file with its own settings: the top level, or an account.
type section struct {
	values  map[string]fileValue
	mapping *Mapping
	catalog *catalogEntry
	// at is the position of an account in the file.
	at string
}

// defaultAccount is the account of a service whose settings name none.
const defaultAccount = "default"

// selectAccount applies the settings of the service's account over those of the top level. It changes nothing if the
// file has no accounts. A command for several accounts gets the names of all of them.
func (r *resolver) selectAccount(ctx *kong.Context) error {
	if len(r.accounts) == 0 {
		return nil
	}
	names := slices.Sorted(maps.Keys(r.accounts))
	i := slices.IndexFunc(ctx.Flags(), func(f *kong.Flag) bool { return f.Name == "account" })
	if i < 0 {
		return nil
	}
	flag := ctx.Flags()[i]
	given := givenValue(ctx, flag)
	if flag.Target.Kind() == reflect.Slice {
		if given == "" {
			r.values["account"] = fileValue{text: strings.Join(names, ","), at: r.accountsAt}
			return nil
		}
		for name := range strings.SplitSeq(given, ",") {
			if _, ok := r.accounts[strings.TrimSpace(name)]; !ok {
				return r.unknownAccountError(name, names)
			}
		}
		return nil
	}
	if given == "" {
		given = r.values["account"].text
	}
	if given == "" {
		given = defaultAccount
	}
	account, ok := r.accounts[given]
	if !ok {
		return r.unknownAccountError(given, names)
	}
	if slot, shared := r.values["slot"]; shared && len(names) > 1 {
		return fmt.Errorf(
			"%s: must be set for each account: each account's ingestion reads with its own replication slot",
			slot.at)
	}
	if given != defaultAccount {
		own := fileValue{text: "driftless_" + strings.ReplaceAll(given, "-", "_"), at: account.at}
		for _, name := range []string{"slot", "publication"} {
			if _, set := r.values[name]; !set {
				r.values[name] = own
			}
		}
	}
	maps.Copy(r.values, account.values)
	if account.mapping != nil {
		r.mapping = account.mapping
	}
	return nil
}

func (r *resolver) unknownAccountError(name string, names []string) error {
	return fmt.Errorf("%s: there is no account %q; there are %s: set DRIFTLESS_ACCOUNT to one of them", r.accountsAt,
		name,
		strings.Join(names, ", "))
}

// givenValue returns the value of a flag on the command line or in the environment, or "".
func givenValue(ctx *kong.Context, flag *kong.Flag) string {
	for _, p := range ctx.Path {
		if p.Flag != flag || p.Resolved {
			continue
		}
		switch v := ctx.FlagValue(flag).(type) {
		case string:
			return v
		case []string:
			return strings.Join(v, ",")
		}
	}
	return firstNonEmpty(flag.Envs)
}

// readAccounts reads the key "accounts": settings, and a mapping, by account.
func (r *resolver) readAccounts(path string, entry *ast.MappingValueNode) error {
	r.accountsAt = position(path, entry.Key.GetToken()) + ": accounts"
	if len(r.accounts) > 0 {
		return fmt.Errorf("%s: is there twice", r.accountsAt)
	}
	entries, ok := entry.Value.(*ast.MappingNode)
	if !ok || len(entries.Values) == 0 {
		return fmt.Errorf("%s: must have the settings of each account under its name", r.accountsAt)
	}
	r.accounts = map[string]*section{}
	for _, named := range entries.Values {
		key := named.Key.GetToken()
		at := position(path, key) + ": accounts: " + key.Value
		if !accountName.MatchString(key.Value) {
			return fmt.Errorf("%s: the name of an account must %s", at, rules["account"].must)
		}
		if r.accounts[key.Value] != nil {
			return fmt.Errorf("%s: is there twice", at)
		}
		account := &section{values: map[string]fileValue{}, at: at}
		r.accounts[key.Value] = account
		settings, ok := named.Value.(*ast.MappingNode)
		if _, none := named.Value.(*ast.NullNode); none {
			continue
		}
		if !ok {
			return fmt.Errorf("%s: must have settings as \"key: value\"", at)
		}
		for _, setting := range settings.Values {
			switch name := setting.Key.GetToken().Value; name {
			case "account", "accounts":
				return fmt.Errorf("%s: %s is not allowed under an account", position(path, setting.Key.GetToken()),
					name)
			}
			if err := account.readEntry(path, setting); err != nil {
				return err
			}
		}
	}
	return nil
}
