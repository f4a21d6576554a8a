package config

import (
	"reflect"
	"slices"
)

// IngestionService has all settings of the ingestion program.
type IngestionService struct {
	File
	Log
	Mesh
	Hosts
	Signing
	API
	Migrations
	Ingestion
}

// PushService has all settings of the push program.
type PushService struct {
	File
	Log
	Mesh
	Hosts
	Signing
	Stripe
	Push
	Guard
	Policy
}

// PullService has all settings of the pull program.
type PullService struct {
	File
	Log
	Mesh
	Hosts
	Signing
	Stripe
	Pull
}

// ReconciliationService has all settings of the reconciliation program.
type ReconciliationService struct {
	File
	Log
	Mesh
	Hosts
	Signing
	API
	Migrations
	Reconciliation
	Notify
	Guard
	Policy

	// DatabaseURLFile is the file that DatabaseURL was read from, empty if none.
	DatabaseURLFile string `kong:"-" file-of:"database-url"`
	DatabaseURL     Secret `name:"database-url" env:"DATABASE_URL" secret:"" placeholder:"URL" help:"Database of the catalog. It also holds the ledger unless --ledger-database-url is set."`
}

// Variables returns the names of the environment variables of settings, sorted. settings is a struct of this package's
// groups, such as PushService. A secret, and any other setting that may be in a file, also has a variable that names
// the file.
func Variables(settings any) []string {
	var out []string
	for _, f := range fieldsOf(reflect.TypeOf(settings)) {
		env := f.Tag.Get("env")
		out = append(out, env)
		_, secret := f.Tag.Lookup("secret")
		if _, file := f.Tag.Lookup("from-file"); secret || file {
			out = append(out, env+"_FILE")
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Values returns the values of settings by their environment variables. A process with these variables has the same
// settings. Secrets are in the clear. settings is a struct that embeds this package's groups; its other fields are left
// out.
func Values(settings any) map[string]string {
	out := map[string]string{}
	eachValue(reflect.ValueOf(settings), func(f reflect.StructField, v reflect.Value) {
		if env := f.Tag.Get("env"); env != "" && v.Kind() == reflect.String {
			out[env] = v.String() // as a setting's own text may be redacted
		} else if env != "" {
			out[env] = valueText(v)
		}
	})
	return out
}

// Files returns the files that settings were read from, empty if none, by the environment variables of the settings. It
// has only settings whose file is read again while a process runs. settings is as for Values.
func Files(settings any) map[string]string {
	variables, out := map[string]string{}, map[string]string{}
	eachValue(reflect.ValueOf(settings), func(f reflect.StructField, _ reflect.Value) {
		variables[f.Tag.Get("name")] = f.Tag.Get("env")
	})
	eachValue(reflect.ValueOf(settings), func(f reflect.StructField, v reflect.Value) {
		if of, companion := f.Tag.Lookup("file-of"); companion {
			out[variables[of]] = v.String()
		}
	})
	return out
}

// eachValue calls f with each exported field of a struct and of the structs that it embeds.
func eachValue(v reflect.Value, f func(reflect.StructField, reflect.Value)) {
	for field, value := range v.Fields() {
		switch {
		case field.Anonymous:
			eachValue(value, f)
		case field.IsExported():
			f(field, value)
		}
	}
}
