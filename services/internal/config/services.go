package config

import (
	"reflect"
	"slices"
)

// IngestionService are all settings of the program ingestion.
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

// PushService are all settings of the program push.
type PushService struct {
	File
	Log
	Mesh
	Hosts
	Signing
	Stripe
	Push
	Policy
}

// PullService are all settings of the program pull.
type PullService struct {
	File
	Log
	Mesh
	Hosts
	Signing
	Stripe
	Pull
}

// ReconciliationService are all settings of the program reconciliation.
type ReconciliationService struct {
	File
	Log
	Mesh
	Hosts
	Signing
	API
	Migrations
	Reconciliation
	Policy

	// DatabaseURLFile is the file that DatabaseURL was read from; empty for none.
	DatabaseURLFile string `kong:"-" file-of:"database-url"`
	DatabaseURL     Secret `name:"database-url" env:"DATABASE_URL" secret:"" placeholder:"URL" help:"The catalog's database, which holds the ledger too if --ledger-database-url is not given."`
}

// Variables are the environment variables that settings are read from, a struct of this package's groups. A secret, and
// whatever else may be in a file, has another one, which names the file.
func Variables(settings any) []string {
	var out []string
	for _, f := range fields(reflect.TypeOf(settings)) {
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
