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
