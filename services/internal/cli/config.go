package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/service"
)

type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Check settings, policy and mapping as the services do at their start, without starting anything."`
}

// configCheckCmd checks the settings that the services would get. Only the database can check the mapping's SQL:
// ingestion asks it at its start, and so does --database.
type configCheckCmd struct {
	Accounts []string `name:"account" env:"DRIFTLESS_ACCOUNT" default:"default" help:"Accounts to check, separated by commas. Defaults to all accounts of the file."`
	Database bool     `name:"database" help:"Also check the catalog database, as ingestion does at its start: privileges, tables, what the queries read and what is watched, and a sample of 1,000 products. Changes nothing there. Exits with 2 if there are findings, with 1 if the check failed."`
}

// allSettings are the settings of all services.
type allSettings struct {
	config.File
	config.Log
	config.Mesh
	config.Placement
	config.Hosts
	config.API
	config.Migrations
	config.Stripe
	config.Ingestion
	config.Push
	config.Guard
	config.Pull
	config.Reconciliation
	config.Notify
	config.Policy
}

func (*configCheckCmd) Help() string {
	return "Without --database no server is asked. It is then unknown whether the mapping's SQL fits the tables."
}

// Validate refuses a selection without an account.
func (cmd *configCheckCmd) Validate() error { return checkAccounts(cmd.Accounts) }

// checkAccounts refuses an empty name: nothing would be checked, and nothing found.
func checkAccounts(accounts []string) error {
	if len(accounts) == 0 || slices.Contains(accounts, "") {
		return errors.New("the name of an account (--account, DRIFTLESS_ACCOUNT) is empty")
	}
	return nil
}

// accountCheck is the result of the check of one account.
type accountCheck struct {
	Account  string    `json:"account"`
	Findings []finding `json:"findings"`
}

type finding struct {
	// Severity is "refusal" if ingestion does not start, else "warning".
	Severity string `json:"severity"`
	Message  string `json:"message"`
	Fix      string `json:"fix"`
}

// Run checks the accounts one by one.
func (cmd *configCheckCmd) Run(ctx context.Context, c *cli) error {
	var accounts []accountCheck
	found := 0
	for _, account := range cmd.Accounts {
		args := []string{"--account", account}
		if c.Config != "" {
			args = append(args, "--config", c.Config)
		}
		var s allSettings
		mapping, err := config.Parse(&s, "driftless", "", service.Version(), args)
		if err == nil {
			_, err = service.Policy(s.Policy, c.Config, mapping)
		}
		if err == nil {
			err = s.Notify.Check()
		}
		if err == nil {
			err = config.CheckWebhookSecrets(s.StripeAPIBase, s.StripeWebhookSecret.Reveal())
		}
		a := accountCheck{Account: account, Findings: []finding{}}
		if err == nil && cmd.Database {
			a.Findings, err = checkDatabase(ctx, s, mapping)
		}
		if err != nil {
			return fmt.Errorf("account %s: %w", account, err)
		}
		found += len(a.Findings)
		accounts = append(accounts, a)
	}
	if err := cmd.print(c, accounts); err != nil {
		return err
	}
	if found > 0 {
		return errDiffers
	}
	return nil
}

func checkDatabase(ctx context.Context, s allSettings, mapping *config.Mapping) ([]finding, error) {
	found, err := ingestion.Check(ctx, ingestion.Config{
		Account:         s.Account,
		DatabaseURL:     s.DatabaseURL.Reveal(),
		Mapping:         mapping,
		Slot:            s.Slot,
		Publication:     s.Publication,
		StripeIDs:       s.StripeIDs,
		CheckMigrations: s.IsCheckOnly(),
	})
	if err != nil {
		return nil, err
	}
	out := make([]finding, 0, len(found))
	for _, f := range found {
		severity := "warning"
		if f.IsRefusal() {
			severity = "refusal"
		}
		out = append(out, finding{Severity: severity, Message: f.Message, Fix: f.Fix})
	}
	return out, nil
}

func (cmd *configCheckCmd) print(c *cli, accounts []accountCheck) error {
	if c.Output == "json" {
		if cmd.Database {
			return printJSON(configAnswer{Accounts: accounts})
		}
		return printJSON(configAnswer{Valid: cmd.Accounts})
	}
	for _, a := range accounts {
		switch {
		case !cmd.Database:
			sayf(stdout, "account %s: the configuration is valid\n", a.Account)
		case len(a.Findings) == 0:
			sayf(stdout, "account %s: the configuration is valid, and the catalog database is as ingestion needs it\n",
				a.Account)
		default:
			printFindings(stdout, a)
		}
	}
	return nil
}

func printFindings(w io.Writer, a accountCheck) {
	refusals := 0
	for _, f := range a.Findings {
		if f.Severity == "refusal" {
			refusals++
		}
	}
	sayf(w, "account %s: the configuration is valid; "+
		"the check of the catalog database has %s; %d %s ingestion from starting\n",
		a.Account, countOf(len(a.Findings), "finding", "findings"), refusals, plural(refusals, "keeps", "keep"))
	for _, f := range a.Findings {
		sayf(w, "\n%s: %s\n", f.Severity, lines(f.Message))
		if f.Fix != "" {
			sayf(w, "  run: %s\n", lines(f.Fix))
		}
	}
}
