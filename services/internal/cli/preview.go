package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"connectrpc.com/connect"
	"github.com/alecthomas/kong"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/forecast"
	"github.com/driftless-sync/driftless/services/internal/guard"
	"github.com/driftless-sync/driftless/services/internal/service"
)

// previewFlags are the flags of a plan of something that is not committed, or not rolled out.
type previewFlags struct {
	SQL              string        `name:"sql" placeholder:"FILE" help:"Preview the statements of a file, - for standard input: they run in a transaction on the catalog that is rolled back."`
	Statements       []string      `name:"statement" short:"e" sep:"none" placeholder:"STATEMENT" help:"Preview this statement, after those of --sql. May be repeated."`
	LockTimeout      time.Duration `name:"lock-timeout" default:"2s" help:"How long a statement of a preview waits for a lock. 0 means no limit."`
	StatementTimeout time.Duration `name:"statement-timeout" default:"5m" help:"How long a statement of a preview may run. 0 means no limit."`

	// changed is the configuration file that is previewed, and present the one before it.
	changed, present string
}

// maxStandardInput is how much is read from standard input.
const maxStandardInput = 64 << 20

// errHeld ends a command with exit code 3: the guard would hold changes.
var errHeld = errors.New("the guard would hold changes")

// changedConfig returns the configuration file that a plan previews: the one of a --config after the word plan. One
// before it, as DRIFTLESS_CONFIG, names the present configuration.
func changedConfig(parsed *kong.Context, file string) (changed, present string, err error) {
	isPlan, inside, outside := false, 0, 0
	for _, p := range parsed.Path {
		switch {
		case p.Command != nil:
			isPlan = isPlan || p.Command.Name == "plan"
		case p.Flag == nil || p.Flag.Name != "config" || p.Resolved:
		case isPlan:
			inside++
		default:
			outside++
		}
	}
	switch {
	case inside == 0:
		return "", file, nil
	case inside > 1 || outside > 0:
		return "", "", errors.New("--config is given more than once: with plan it names the changed file, " +
			"and DRIFTLESS_CONFIG names the present one")
	default:
		return file, os.Getenv("DRIFTLESS_CONFIG"), nil
	}
}

// AfterApply tells the two configurations of a preview apart.
func (cmd *planCmd) AfterApply(parsed *kong.Context, c *cli) (err error) {
	if cmd.changed, cmd.present, err = changedConfig(parsed, c.Config); err != nil {
		return err
	}
	if c.Output == "markdown" && !cmd.isPreview() {
		return errMarkdown
	}
	return nil
}

// isPreview reports whether the plan is about something that is not committed or not rolled out.
func (f previewFlags) isPreview() bool {
	return f.changed != "" || f.SQL != "" || len(f.Statements) > 0
}

// statements returns the statements of the flags.
func (f previewFlags) statements() (out []ingestion.PreviewStatement, err error) {
	add := func(source, text string) error {
		parsed, err := ingestion.ParseScript(source, text)
		out = append(out, parsed...)
		return err
	}
	switch f.SQL {
	case "":
	case "-":
		text, err := io.ReadAll(io.LimitReader(os.Stdin, maxStandardInput+1))
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		if err := add("standard input", string(text)); err != nil {
			return nil, err
		}
	default:
		text, err := os.ReadFile(f.SQL)
		if err != nil {
			return nil, fmt.Errorf("read the statements: %w", err)
		}
		if err := add(f.SQL, string(text)); err != nil {
			return nil, err
		}
	}
	for _, s := range f.Statements {
		if err := add("-e", s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// preview is one preview.
type preview struct {
	control controlv1connect.ControlServiceClient
	status  *controlv1.GetStatusResponse
	// present and changed are the configurations before and after.
	present, changed configuration
	forecaster       *forecast.Forecaster
	out              previewWriter
	result           *ingestion.PreviewResult
	summary          *previewSummary
}

// configuration is what a preview needs of a configuration file.
type configuration struct {
	file     string
	settings allSettings
	mapping  *config.Mapping
	policy   *catalog.Policy
}

func readConfiguration(file, account string) (c configuration, err error) {
	c.file = file
	args := []string{"--account", account}
	if file != "" {
		args = append(args, "--config", file)
	}
	if c.mapping, err = config.Parse(&c.settings, "driftless", "", service.Version(), args); err != nil {
		return c, err
	}
	c.policy, err = service.Policy(c.settings.Policy, file, c.mapping)
	return c, err
}

// preview shows what statements or a changed configuration would do.
func (cmd *planCmd) preview(ctx context.Context, c *cli) error {
	if len(cmd.Products) > 0 || cmd.WaitConverged > 0 {
		return errors.New(
			"a preview is about all products and does not wait: leave out the products and --wait-converged")
	}
	if cmd.Usage {
		return errors.New("a preview does not count the uses of prices: leave out --usage. Push makes no call for a change " +
			"that the guard holds, so `driftless plan --usage` shows the uses before you approve it")
	}
	statements, err := cmd.statements()
	if err != nil {
		return err
	}
	client, err := cmd.control(c)
	if err != nil {
		return err
	}
	resp, err := client.GetStatus(ctx, connect.NewRequest(&controlv1.GetStatusRequest{CountedIds: true}))
	if err != nil {
		return fmt.Errorf("ask the control API what Stripe holds: %w", err)
	}
	p := &preview{control: client, status: resp.Msg}
	if p.present, err = readConfiguration(cmd.present, p.status.GetAccount()); err != nil {
		return fmt.Errorf("the present configuration: %w", err)
	}
	p.changed = p.present
	if cmd.changed != "" {
		if p.changed, err = readConfiguration(cmd.changed, p.status.GetAccount()); err != nil {
			return fmt.Errorf("the changed configuration: %w", err)
		}
	}
	if err := p.read(ctx, c, cmd.previewFlags, statements); err != nil {
		return err
	}
	defer p.result.Close()
	p.out = newPreviewWriter(c.Output)
	return p.show(ctx)
}

// read runs the preview on the catalog.
func (p *preview) read(ctx context.Context, c *cli, flags previewFlags,
	statements []ingestion.PreviewStatement,
) (err error) {
	line := &progress{}
	defer line.clear()
	cfg := ingestion.PreviewConfig{
		DatabaseURL:         p.present.settings.DatabaseURL.Reveal(),
		DatabaseURLFile:     p.present.settings.DatabaseURLFile,
		Mapping:             p.present.mapping,
		Changed:             p.changed.mapping,
		ArchiveAfter:        p.present.settings.PricesArchiveAfter,
		ChangedArchiveAfter: p.changed.settings.PricesArchiveAfter,
		Statements:          statements,
		LockTimeout:         flags.LockTimeout,
		StatementTimeout:    flags.StatementTimeout,
		// Another policy may change any product.
		All: p.changed.file != p.present.file,
		Progress: func(at ingestion.PreviewProgress) {
			if at.Phase == "statements" {
				line.showf("running statement %d of %d", at.Done+1, at.Expected)
				return
			}
			line.showf("%s reading %s the change: %s of %s products", bar(at.Done, at.Expected), at.Phase,
				formatCount(uint64(at.Done)), formatCount(uint64(at.Expected)))
		},
	}
	if cfg.DatabaseURL == "" {
		// The mesh on the data directory has a database of its own.
		if mesh, err := findMesh(c.DataDir); err == nil {
			cfg.DatabaseURL = mesh.Database
		}
	}
	p.result, err = ingestion.Preview(ctx, cfg)
	return err
}

// show forecasts what push would do, and writes it.
func (p *preview) show(ctx context.Context) error {
	record := &meshv1.Guard{}
	if p.status.GetGuard() != nil {
		record = proto.CloneOf(p.status.GetGuard())
	}
	now := time.Now()
	p.forecaster = &forecast.Forecaster{
		Policy:        p.present.policy,
		Changed:       p.changed.policy,
		Guard:         service.Guard(p.changed.settings.Guard),
		HoldCreations: p.status.GetCreationsHeld(),
		Record:        record,
		Totals:        func() (*guard.Totals, error) { return p.totals(ctx, record, now) },
		Now:           now,
	}
	p.summary = newPreviewSummary(p)
	if err := p.out.begin(p.summary); err != nil {
		return err
	}
	var page []ingestion.PreviewChange
	flush := func() error {
		err := p.page(ctx, page)
		page = page[:0]
		return err
	}
	if err := p.result.Each(func(change ingestion.PreviewChange) error {
		if page = append(page, change); len(page) < maxSyncPage {
			return nil
		}
		return flush()
	}); err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	if err := p.out.end(p.summary); err != nil {
		return err
	}
	switch {
	case p.summary.Held > 0:
		return errHeld
	case p.summary.Products > 0 || p.summary.Unknown != "":
		return errDiffers
	default:
		return nil
	}
}

// page forecasts some changes.
func (p *preview) page(ctx context.Context, changes []ingestion.PreviewChange) error {
	if len(changes) == 0 {
		return nil
	}
	ids := make([]string, len(changes))
	for i, c := range changes {
		ids[i] = c.ProductID
	}
	known, err := p.known(ctx, ids)
	if err != nil {
		return err
	}
	for _, c := range changes {
		product, ok, err := p.forecaster.Forecast(forecast.Change{
			ProductID:     c.ProductID,
			Before:        c.Before.Change,
			After:         c.After.Change,
			RefusedBefore: c.Before.Refused,
			Refused:       c.After.Refused,
			Differs:       c.Differs,
			Known:         known[c.ProductID],
		})
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		p.summary.add(product)
		if err := p.out.product(product); err != nil {
			return err
		}
	}
	return nil
}

// known returns what the ledger knows about products.
func (p *preview) known(ctx context.Context, ids []string) (map[string]*controlv1.ProductDetail, error) {
	out := make(map[string]*controlv1.ProductDetail, len(ids))
	// Stripe's ids have a limit, and the control API takes no others. Such a product is refused, and not known.
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == "" || id == "*" || len(id) > 1020 })
	request := &controlv1.ListProductsRequest{ProductIds: ids}
	for len(ids) > 0 {
		resp, err := p.control.ListProducts(ctx, connect.NewRequest(request))
		if err != nil {
			return nil, fmt.Errorf("read what Stripe holds: %w", err)
		}
		for _, d := range resp.Msg.GetProducts() {
			out[d.GetProductId()] = d
		}
		if request.After = resp.Msg.GetNext(); request.GetAfter() == "" {
			break
		}
	}
	return out, nil
}

// totals counts what is active in Stripe, as push does for the rules with a share.
func (p *preview) totals(ctx context.Context, record *meshv1.Guard, now time.Time) (*guard.Totals, error) {
	out := guard.NewTotals(record, now)
	request := &controlv1.ListProductsRequest{}
	for {
		resp, err := p.control.ListProducts(ctx, connect.NewRequest(request))
		if err != nil {
			return nil, fmt.Errorf("count the products and prices in Stripe: %w", err)
		}
		for _, d := range resp.Msg.GetProducts() {
			if o := d.GetObserved(); o != nil {
				out.Add(withID(o, d.GetProductId()))
			}
		}
		if request.After = resp.Msg.GetNext(); request.GetAfter() == "" {
			return out, nil
		}
	}
}

func withID(o *catalogv1.Observed, id string) *catalogv1.Observed {
	o.ProductId = id
	return o
}
