package cli

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/driftless-sync/driftless/services/internal/redact"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// announce prints what runs where, and seeds an empty catalog.
func (u *up) announce(ctx context.Context) error {
	if err := u.markWhenSigned(ctx); err != nil {
		return err
	}
	if u.cli.Config != "" {
		path, err := filepath.Abs(u.cli.Config)
		if err != nil {
			return fmt.Errorf("find the configuration file %s: %w", u.cli.Config, err)
		}
		u.endpoints.Config = path
	}
	u.endpoints.Pids, u.endpoints.Token = map[string]int{}, u.cli.Token.Reveal()
	for i, s := range u.services {
		u.endpoints.Pids[u.serviceNames[i]] = s.Pid()
	}
	if err := u.endpoints.save(u.dataDir); err != nil {
		return err
	}
	// The seed never goes into a real Stripe account.
	if u.Seed && u.simulator != nil && u.postgres != nil && u.hasBuiltInTables &&
		!slices.Contains(u.Without, topology.Ingestion) {
		if err := u.seedCatalog(ctx); err != nil {
			return fmt.Errorf("seed the catalog: %w", err)
		}
	}
	if u.JSON {
		return printJSONLine(u.endpoints)
	}
	if u.DryRun {
		sayf(stdout, "Dry run, with its data in %s. Nothing is written to Stripe.\n", u.dataDir)
		return nil
	}
	stripeIs := "Stripe"
	if u.endpoints.Simulated {
		stripeIs = "Stripe simulator"
	}
	rows := [][]string{}
	add := func(what, where, note string) { rows = append(rows, []string{"  " + what, where, note}) }
	for i, name := range u.serviceNames {
		if name == console {
			continue
		}
		url := u.endpoints.services()[name]
		add(name, url, fmt.Sprintf("pid %d", u.services[i].Pid()))
	}
	add(stripeIs, u.endpoints.Stripe, "")
	add("NATS", redact.URL(u.endpoints.NATS), "")
	add("Postgres", redact.URL(u.endpoints.Database), "")
	var table bytes.Buffer
	printTable(&table, rows...)
	sayf(stdout, "Driftless is up (%s), with its data in %s\n%s%s\n"+
		"%s %sCtrl-C stops everything.\n",
		time.Since(u.started).Round(10*time.Millisecond), u.dataDir, raw(u.consoleHint()), raw(table.String()),
		raw(u.nextHint()), u.tokenHint())
	return nil
}

// nextHint names commands to begin with. The demo writes the built-in tables, so a mapping has other ones.
func (u *up) nextHint() string {
	if !u.hasBuiltInTables {
		return "Look at it with `driftless status`, `driftless plan` and `driftless why PRODUCT`."
	}
	return "Try `scripts/driftless demo`, or `scripts/driftless psql`."
}

// consoleHint is the line with the address of the console, and the link that signs in once. It is empty if none runs.
// A reader of this output may use the mesh anyway: the file of its addresses has the token.
func (u *up) consoleHint() string {
	if slices.Contains(u.Without, console) {
		return ""
	}
	return fmt.Sprintf("\n  console: %s\n  sign in: %s (works once)\n\n", u.endpoints.Console, u.signInLink())
}

func (u *up) signInLink() string { return u.endpoints.Console + "/sign-in/link?key=" + u.linkKey }

// tokenHint says how to use the APIs without these commands. The token itself is never printed or logged.
func (u *up) tokenHint() string {
	if u.cli.Token == "" {
		return "The APIs ask for no token. "
	}
	return fmt.Sprintf("The APIs ask for the token in %s; commands find it there. ", endpointsFile(u.dataDir))
}
