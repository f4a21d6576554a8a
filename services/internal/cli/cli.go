// Package cli is the driftless command. It runs a mesh on one machine, and operates a mesh anywhere.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/service"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// cli is the command line. Every command is a struct with a Run method.
type cli struct {
	config.File
	config.Log
	config.Local
	Token       config.Secret    `name:"token" env:"DRIFTLESS_TOKEN" secret:"" help:"Bearer token of the ingestion API and the control API. Defaults to the token of the mesh on the data directory. up creates one, unless it is started with an empty one (--token=)."`
	Output      string           `name:"output" short:"o" enum:"text,json,markdown" default:"text" help:"Output format: text or json."`
	Colour      string           `name:"color" enum:"auto,always,never" default:"auto" help:"Colours: auto (on a terminal, unless NO_COLOR is set), always or never."`
	UTC         bool             `name:"utc" help:"Show times in UTC instead of the local zone, which TZ can set."`
	ShowVersion kong.VersionFlag `name:"version" help:"Print the version."`

	Init       initCmd       `cmd:"" help:"Look at your own tables, and write a first mapping and the SQL for a role with the least privileges."`
	Up         upCmd         `cmd:"" help:"Run everything on this machine: the four services, and NATS, Postgres and a Stripe simulator unless you name yours."`
	Demo       demoCmd       `cmd:"" help:"Make real changes in a running mesh and watch each one arrive."`
	Sim        simCmd        `cmd:"" help:"Run the Stripe simulator alone."`
	Apply      applyCmd      `cmd:"" help:"Write products from a file to the catalog's built-in tables: JSON, JSON lines, YAML, CSV, or what export writes."`
	Export     exportCmd     `cmd:"" help:"Write the products of the catalog, or of Stripe, as JSON, JSON lines, YAML or CSV."`
	Status     statusCmd     `cmd:"" help:"Show on one screen whether Stripe equals the catalog and as of when, what needs attention, the products by state, the services and their work. Exits with 2 unless everything is known, equal and well."`
	Top        topCmd        `cmd:"" help:"Show what is worked on now, and how fast."`
	Tail       tailCmd       `cmd:"" help:"Show what happened lately in all products, and follow it."`
	Retries    retriesCmd    `cmd:"" help:"List the products that failed and wait for their next attempt. Exits with 2 if there are any."`
	Products   productsCmd   `cmd:"" help:"List products with their state."`
	Why        whyCmd        `cmd:"" help:"Say where a product or price is stuck on its way to Stripe, since when, and what to do. Exits with 2 unless it is known to be equal."`
	Plan       planCmd       `cmd:"" help:"Show what differs between the catalog and Stripe, and what will be done about it. Exits with 2 if anything differs or is unknown."`
	Preview    previewCmd    `cmd:"" help:"Show the products as the mapping reads them, and what would be refused. Needs only the database, and writes nothing."`
	Doctor     doctorCmd     `cmd:"" help:"Check everything that a mesh needs: settings, database, mapping, ledger, NATS, Stripe, clocks and services. Each finding has its fix. Exits with 2 unless every check was made and found nothing."`
	Settings   settingsCmd   `cmd:"" help:"Show the settings that the services have, and where each comes from. Exits with 2 if processes differ or something is unknown."`
	Sync       syncCmd       `cmd:"" help:"Read products from your tables and sync them to Stripe now. Exits with 2 unless they are known to be equal."`
	Reread     rereadCmd     `cmd:"" help:"Read products, or the whole catalog, from your tables again and publish every difference from the captured state."`
	Approve    approveCmd    `cmd:"" help:"Approve changes that the guard holds."`
	Reject     rejectCmd     `cmd:"" help:"Decide against changes that the guard holds, and show what undoes them in the catalog."`
	Adopt      adoptCmd      `cmd:"" help:"Link products of the catalog to products that Stripe already has."`
	Pause      pauseCmd      `cmd:"" help:"Pause push, pull or ingestion. Work queues up until you resume."`
	Resume     resumeCmd     `cmd:"" help:"End a pause."`
	Notify     notifyCmd     `cmd:"" help:"Test the notifications."`
	Drift      driftCmd      `cmd:"" help:"List drift, and decide what to do about it. Exits with 2 if there is any, or if that is unknown."`
	Scan       scanCmd       `cmd:"" help:"Read everything in Stripe and correct the observed state."`
	Trace      traceCmd      `cmd:"" help:"Show the trace of a product's latest change, from Jaeger, as a waterfall."`
	History    historyCmd    `cmd:"" help:"Show everything recorded about a product, field by field, or what either side held at a time."`
	Diff       diffCmd       `cmd:"" help:"Show what changed in the catalog, or in Stripe, between two times. Exits with 2 if anything did, or if that is unknown."`
	Rollback   rollbackCmd   `cmd:"" help:"Give a product an earlier state back, in your tables."`
	Dead       deadCmd       `cmd:"" help:"List changes that could not be applied; replay or drop them."`
	Keys       keysCmd       `cmd:"" help:"Create the keys that services sign changes and commands with."`
	Tokens     tokenCmd      `cmd:"" name:"token" help:"Make tokens with a name and a role for the APIs."`
	Whoami     whoamiCmd     `cmd:"" help:"Say who the token is to the mesh, and what it may do."`
	Webhook    webhookCmd    `cmd:"" help:"Set up the webhook endpoint in Stripe, and replace its signing secret."`
	Conf       configCmd     `cmd:"" name:"config" help:"Check the configuration."`
	Psql       psqlCmd       `cmd:"" passthrough:"" help:"Run psql on the database of the mesh on the data directory. All arguments go to psql."`
	Migrate    migrateCmd    `cmd:"" help:"Create or upgrade the built-in tables and the ledger, with a role that may do so."`
	Completion completionCmd `cmd:"" help:"Print the completion of commands, flags and product ids for a shell."`
	Complete   completeCmd   `cmd:"" hidden:"" help:"Print what the last word can become. The scripts of completion call it."`
	Help       helpCmd       `cmd:"" help:"Show the help of a command, or what the exit codes mean."`
	Version    versionCmd    `cmd:"" help:"Show the versions of this program and of every process of the mesh."`
	Topology   topologyCmd   `cmd:"" help:"Compare the streams, buckets and consumers on NATS with their declarations, or apply the declarations."`
}

// errDiffers ends a command with exit code 2: the command worked and found differences.
var errDiffers = errors.New("differences found")

// Main runs the command line and returns the exit code: 0 for success, 1 for failure, 2 for differences, a degraded
// mesh or an unknown state, 3 for a preview or a rollback with changes that the guard would hold.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	parser, loaded := newParser(ctx)
	parsed, err := parser.Parse(args)
	if err = withHelp(err); err == nil {
		parsed.Bind(loaded.Mapping(), loaded)
		err = parsed.Run()
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errDiffers):
		return 2
	case errors.Is(err, errHeld):
		return 3
	default:
		reportFailure(os.Stderr, args, err)
		return 1
	}
}

// AfterApply sets how times and colours are shown, and refuses empty values and a format that the command does not
// have.
func (c *cli) AfterApply(parsed *kong.Context) error {
	if err := refuseEmpty(parsed); err != nil {
		return err
	}
	colourMode, zone = c.Colour, time.Local
	if c.UTC {
		zone = time.UTC
	}
	if command, _, _ := strings.Cut(parsed.Command(), " "); c.Output == "markdown" && command != "plan" {
		return errMarkdown
	}
	return nil
}

// newParser returns the parser of the command line, and what its settings are loaded into.
func newParser(ctx context.Context) (*kong.Kong, *config.Loaded) {
	var c cli
	options, loaded := config.Options()
	parser := kong.Must(&c, append(options, kong.Name("driftless"),
		kong.Description("Keeps the Products and Prices in Stripe equal to a product catalog in Postgres.\n\n"+
			config.SecretFlags+"\n\n"+exitCodesLine),
		parserVars(), kong.Help(printHelp),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(&c))...)
	addExamples(parser.Model)
	arrangeHelp(parser.Model)
	return parser, loaded
}

// parserVars are the variables of the help.
func parserVars() kong.Vars {
	return kong.Vars{
		"version": service.ReadBuild().String(), "reasons": strings.Join(topology.ReasonNames(), ", "),
		"doctor_groups": strings.Join(doctor.Groups(), ", "), "drift_kinds": strings.Join(catalog.KindNames(), ", "),
	}
}

// usageExitCode is the exit code of kong's errors about the command line itself.
const usageExitCode = 80

// withHelp adds to the error of a wrong command line which help to read. An error of the configuration file names the
// place in the file, and is returned as it is.
func withHelp(err error) error {
	var wrong *kong.ParseError
	if !errors.As(err, &wrong) || wrong.ExitCode() != usageExitCode {
		return err
	}
	command := []string{"driftless"}
	for _, p := range wrong.Context.Path {
		if p.Command != nil {
			command = append(command, p.Command.Name)
		}
	}
	return fmt.Errorf("%w (see `%s --help`)", err, strings.Join(command, " "))
}
