// Package cli is the driftless command: it runs a whole mesh on one machine, and is the operator's tool for a mesh
// anywhere.
package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/service"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// cli is the command line; every command is a struct with a Run method.
type cli struct {
	config.File
	config.Log
	config.Local
	Token   config.Secret    `name:"token" env:"DRIFTLESS_TOKEN" secret:"" help:"Bearer token of the ingestion API and the control API; that of the mesh on the data directory if not given. up makes one; with an empty --token '' its APIs ask for none."`
	Output  string           `name:"output" short:"o" enum:"text,json" default:"text" help:"Form of what is printed: text or json."`
	Version kong.VersionFlag `name:"version" help:"Print the version."`

	Up       upCmd       `cmd:"" help:"Run everything on this machine: four services, and NATS, Postgres and a Stripe simulator where none are given."`
	Demo     demoCmd     `cmd:"" help:"Make real changes against a running mesh and watch each one arrive."`
	Sim      simCmd      `cmd:"" help:"Run the Stripe simulator alone."`
	Apply    applyCmd    `cmd:"" help:"Write products from a JSON file to the catalog's built-in tables."`
	Status   statusCmd   `cmd:"" help:"Show whether Stripe is equal to the catalog and as of when, products by state, and every consumer's backlog; exit 2 unless all is known and equal."`
	Plan     planCmd     `cmd:"" help:"Show what differs between the catalog and Stripe, and what is done about it; exit 2 if anything differs or that is not known."`
	Sync     syncCmd     `cmd:"" help:"Read products from your tables and bring them to Stripe now; exit 2 unless they are known to be equal."`
	Reread   rereadCmd   `cmd:"" help:"Read products, or the whole catalog, from your tables again and publish what differs from what was captured."`
	Approve  approveCmd  `cmd:"" help:"Let push archive the products that the mass-change guard holds."`
	Adopt    adoptCmd    `cmd:"" help:"Let the catalog's products stand for products that Stripe holds already."`
	Pause    pauseCmd    `cmd:"" help:"Have push, pull or ingestion stop working; what comes for them waits."`
	Resume   resumeCmd   `cmd:"" help:"End a pause."`
	Drift    driftCmd    `cmd:"" help:"List what has drifted, and decide about it; exit 2 if there is any, or that is not known."`
	Scan     scanCmd     `cmd:"" help:"Read everything Stripe holds and correct what is known."`
	Trace    traceCmd    `cmd:"" help:"Show the trace of a product's newest change, from Jaeger, as a waterfall."`
	History  historyCmd  `cmd:"" help:"Show everything recorded about a product, field by field."`
	Dead     deadCmd     `cmd:"" help:"Look at what could not be applied, have it tried again, or let it go."`
	Keys     keysCmd     `cmd:"" help:"Make the keys with which services sign changes and commands."`
	Webhook  webhookCmd  `cmd:"" help:"Set up the webhook endpoint in Stripe, and replace its signing secret."`
	Conf     configCmd   `cmd:"" name:"config" help:"Check the configuration."`
	Psql     psqlCmd     `cmd:"" passthrough:"" help:"Run psql on the database of the mesh on the data directory; what follows is given to psql."`
	Migrate  migrateCmd  `cmd:"" help:"Make the built-in tables and the ledger's, or bring them up to date, with a role that may."`
	Topology topologyCmd `cmd:"" help:"Compare the streams, buckets and consumers with what is declared, or make them so."`
}

// errDiffers ends a command with exit code 2: it worked, and found differences.
var errDiffers = errors.New("differences found")

// Main runs the command line and returns the exit code: 0 fine, 1 failed, 2 differences, degraded or unknown.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c cli
	options, mapping := config.Options()
	parser := kong.Must(&c, append(options, kong.Name("driftless"),
		kong.Description("Keeps a product catalog in Postgres and its Products and Prices in Stripe equal.\n\n"+
			config.SecretFlags),
		kong.Vars{"version": service.Version(), "reasons": strings.Join(topology.ReasonNames(), ", ")},
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(&c))...)
	parsed, err := parser.Parse(args)
	if err == nil {
		parsed.Bind(mapping())
		err = parsed.Run()
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errDiffers):
		return 2
	default:
		say(os.Stderr, "driftless:", lines(err.Error()))
		return 1
	}
}
