package main

import (
	"encoding/json"
	"fmt"

	"github.com/driftless-sync/driftless/services/cmd/internal/service"
	"github.com/driftless-sync/driftless/services/config"
)

type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Check settings, policy and mapping as the services do when they start, without starting or asking anything."`
}

// configCheckCmd checks what the services would be given. Whether the mapping's SQL fits the tables only the database knows:
// ingestion asks it when it starts.
type configCheckCmd struct {
	Accounts []string `name:"account" env:"DRIFTLESS_ACCOUNT" default:"default" help:"Names of the accounts whose settings are checked, separated by commas; those of the file if it has any."`
}

// settings are those of all services.
type settings struct {
	config.File
	config.Log
	config.Mesh
	config.API
	config.Migrations
	config.Stripe
	config.Ingestion
	config.Push
	config.Pull
	config.Reconciliation
	config.Policy
}

// Run checks one account after the other.
func (cmd *configCheckCmd) Run(c *cli) error {
	for _, account := range cmd.Accounts {
		args := []string{"--account", account}
		if c.Config != "" {
			args = append(args, "--config", c.Config)
		}
		var s settings
		mapping, err := config.Parse(&s, "driftless", "", service.Version(), args)
		if err == nil {
			_, err = service.Policy(s.Policy, c.Config, mapping)
		}
		if err != nil {
			return fmt.Errorf("account %s: %w", account, err)
		}
	}
	if c.Output == "json" {
		return json.NewEncoder(stdout).Encode(map[string][]string{"valid": cmd.Accounts})
	}
	for _, account := range cmd.Accounts {
		fmt.Fprintf(stdout, "account %s: the configuration is valid\n", account)
	}
	return nil
}
