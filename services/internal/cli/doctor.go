package cli

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/doctor/probe"
	"github.com/driftless-sync/driftless/services/internal/service"
)

// doctorCmd checks a mesh with the settings that its services get.
type doctorCmd struct {
	address
	Accounts []string      `name:"account" env:"DRIFTLESS_ACCOUNT" default:"default" help:"Accounts to check, separated by commas. Defaults to all accounts of the file."`
	Only     []string      `name:"only" placeholder:"GROUP" help:"Make only these checks: groups or ids, separated by commas. The groups are ${doctor_groups}."`
	Skip     []string      `name:"skip" placeholder:"ID" help:"Leave these checks out: ids or groups, separated by commas."`
	All      bool          `name:"all" help:"Also list the checks that found nothing, with what they saw."`
	Push     string        `name:"push" placeholder:"URL" help:"Address of push. Defaults to the mesh on the data directory."`
	Pull     string        `name:"pull" placeholder:"URL" help:"Address of pull. Defaults to the mesh on the data directory."`
	User     string        `name:"nats-user" enum:"topology,ingestion,push,pull,reconciliation" default:"topology" help:"The user on NATS whose credentials are set: topology, or a service. Its permissions are checked."`
	Monitors []string      `name:"nats-monitor" placeholder:"URL" help:"Addresses of the monitoring ports of the NATS servers, separated by commas, such as http://nats:8222."`
	Running  bool          `name:"running" help:"Look at nothing from here: print what the running services found when they looked at their own parts, as the console does."`
	Limit    time.Duration `name:"limit" default:"30s" help:"Time limit of each part of the check."`

	// now is the clock of this machine, and patience that of the probes. Tests set them.
	now      func() time.Time
	patience time.Duration
}

func (*doctorCmd) Help() string {
	return "Settings come from the configuration file and the environment, as those of the services do. A mesh on the " +
		"data directory provides what they lack. Nothing is changed. Stripe counts about seven reads.\n\n" +
		"Exits with 0 if every check was made and found nothing, with 2 if there are findings or a check could not be " +
		"made, and with 1 if doctor itself failed.\n\n" +
		"With --running it needs the address of the control API only. Each service looks at its own part when it " +
		"starts, and then every ten minutes; at Stripe every twelve hours. Checks that no service can " +
		"make are listed as not looked at: leave them out with --skip."
}

// Validate refuses a selection without a check or an account.
func (cmd *doctorCmd) Validate() error {
	if err := checkAccounts(cmd.Accounts); err != nil {
		return err
	}
	return cmd.selection().Validate()
}

func (cmd *doctorCmd) selection() doctor.Selection {
	return doctor.Selection{Only: cmd.Only, Skip: cmd.Skip}
}

// accountReport is the report on one account.
type accountReport struct {
	Account string `json:"account"`
	doctor.Report
}

// Run checks the accounts one by one.
func (cmd *doctorCmd) Run(ctx context.Context, c *cli) error {
	if cmd.Running {
		return cmd.runRunning(ctx, c)
	}
	var reports []accountReport
	isFine := true
	for _, account := range cmd.Accounts {
		report, err := cmd.examine(ctx, c, account)
		if err != nil {
			return fmt.Errorf("account %s: %w", account, err)
		}
		isFine = isFine && report.IsFine()
		reports = append(reports, accountReport{account, report})
	}
	if err := cmd.print(c, reports); err != nil {
		return err
	}
	if !isFine {
		return errDiffers
	}
	return nil
}

// examine checks one account.
func (cmd *doctorCmd) examine(ctx context.Context, c *cli, account string) (doctor.Report, error) {
	s, mapping, invalid := loadSettings(c, account)
	p := patient{cmd: cmd, c: c, account: account, settings: s, mapping: mapping}
	if invalid == nil {
		var err error
		if p.local, p.isLocal, err = p.findLocalMesh(); err != nil {
			return doctor.Report{}, err
		}
		if p.isLocal && c.Config == "" && p.local.Config != "" {
			// Without the mapping of the mesh, doctor would look for the built-in tables.
			with := *c
			with.Config = p.local.Config
			p.c = &with
			p.settings, p.mapping, invalid = loadSettings(&with, account)
		}
	}
	probes := []doctor.Probe{settingsProbe(invalid), p.tokenProbe(), p.webhookSecretProbe(), p.mappingProbe()}
	servers, done := probe.All(p.servers())
	defer done()
	probes = append(probes, servers...)
	for i := range probes {
		if !slices.Contains(probes[i].Covers, doctor.ConfigSettings) {
			probes[i].Needs = append([]string{doctor.ConfigSettings}, probes[i].Needs...)
		}
	}
	var line progress
	report := doctor.Run(ctx, probes, doctor.Options{
		Selection: cmd.selection(),
		Limit:     cmd.Limit,
		LimitFlag: "--limit",
		OnProgress: func(ended, total int, running []string) {
			line.showf("%s %d of %d  %s", bar(ended, total), ended, total, abridged(running))
		},
	})
	line.clear()
	return report, ctx.Err()
}

// abridged names the parts of the check that still run.
func abridged(running []string) string {
	const shown = 2
	if len(running) > shown {
		return fmt.Sprintf("%s and %d more", strings.Join(running[:shown], ", "), len(running)-shown)
	}
	return strings.Join(running, ", ")
}

// loadSettings reads the settings that the services of an account get, and checks them as the services do.
func loadSettings(c *cli, account string) (s allSettings, mapping *config.Mapping, err error) {
	args := []string{"--account", account}
	if c.Config != "" {
		args = append(args, "--config", c.Config)
	}
	if mapping, err = config.Parse(&s, "driftless", "", service.Version(), args); err == nil {
		_, err = service.Policy(s.Policy, c.Config, mapping)
	}
	return s, mapping, err
}

// settingsProbe says whether the settings are valid.
func settingsProbe(invalid error) doctor.Probe {
	return doctor.Probe{
		Name: "the settings", Covers: []string{doctor.ConfigSettings},
		Run: func(_ context.Context, r *doctor.Recorder) error {
			if invalid != nil {
				r.Foundf(doctor.ConfigSettings, "", "%v", invalid)
			}
			return nil
		},
	}
}

func readTrimmed(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
