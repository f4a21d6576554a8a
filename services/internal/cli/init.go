package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/introspect"
	"github.com/driftless-sync/driftless/services/internal/postgres"
	"github.com/driftless-sync/driftless/services/internal/proposal"
	"github.com/driftless-sync/driftless/services/internal/redact"
)

// initCmd writes a first configuration for the operator's own tables.
type initCmd struct {
	DatabaseFile string        `kong:"-" file-of:"database"`
	Database     config.Secret `name:"database" env:"DATABASE_URL" secret:"" placeholder:"URL" help:"Database with the tables of the shop. Any role that can read them will do."`
	Schemas      []string      `name:"schema" placeholder:"SCHEMA" help:"Schemas to look at. Defaults to all."`

	ProductsTable string `name:"products-table" placeholder:"TABLE" help:"Table whose rows are products in Stripe, as shop.items."`
	PricesTable   string `name:"prices-table" placeholder:"TABLE" help:"Table with the amounts."`
	AmountColumn  string `name:"amount-column" placeholder:"COLUMN" help:"Column of the prices table with the amounts."`
	AmountUnit    string `name:"amount-unit" placeholder:"UNIT" help:"Unit of the amounts: major (euros) or minor (cents)."`
	Currency      string `name:"currency" placeholder:"CODE" help:"Currency of all amounts, if no column has it."`
	Interval      string `name:"interval" placeholder:"INTERVAL" help:"How often prices recur, if no column says it: once, day, week, month or year."`
	Language      string `name:"language" placeholder:"CODE" help:"Language of names and descriptions, if there are several."`

	Account string `name:"account" env:"DRIFTLESS_ACCOUNT" default:"default" help:"Account that the publication is for."`
	Role    string `name:"role" default:"driftless" help:"Role that the SQL makes for Driftless."`
	Out     string `name:"out" default:"driftless.yaml" placeholder:"FILE" help:"Configuration file to write, - for standard output."`
	SQL     string `name:"sql" default:"driftless.sql" placeholder:"FILE" help:"File for the SQL that makes the role and the publication, - for standard output."`
	Force   bool   `help:"Overwrite the files if they exist."`
	Yes     bool   `help:"Ask nothing. Questions without an answer stay in the file."`
}

func (*initCmd) Help() string {
	return `Looks at the tables, foreign keys, columns and a sample of the rows, and proposes a mapping: which rows are products
and prices in Stripe, and which changed row concerns which product. It writes a configuration file with comments that
say why, and a file with the SQL for a role that may do only what Driftless needs.

It reads in a read-only transaction and changes nothing in the database. On a terminal it asks what the tables do not
say. Elsewhere it takes flags. Whatever stays uncertain is a QUESTION in the file, and never a silent guess: an amount
without a currency, for example, has none, and Driftless refuses it.

Exits with 0 if nothing is uncertain, with 2 if questions are open or products would be refused, and with 1 if it failed.`
}

// initSample is how many products of the proposal are tried.
const initSample = 1000

// initResult is the answer for programs.
type initResult struct {
	ProductsTable string              `json:"products_table"`
	PricesTable   string              `json:"prices_table"`
	Questions     []proposal.Question `json:"questions"`
	Notes         []string            `json:"notes"`
	// Sample is what the proposal reads of the first products, null if the queries cannot be used.
	Sample *catalogSummary `json:"sample"`
	// Files are those that were written.
	Files []string `json:"files"`
	YAML  string   `json:"yaml"`
	SQL   string   `json:"sql"`

	tables int
}

// asker asks on a terminal. It is nil elsewhere.
type asker struct {
	in  *bufio.Reader
	out io.Writer
}

// line reads a line, empty at the end of the input. An interrupt ends the wait for it.
func (a *asker) line(ctx context.Context) (string, error) {
	type result struct {
		text string
		err  error
	}
	read := make(chan result, 1)
	go func() {
		text, err := a.in.ReadString('\n')
		read <- result{text, err}
	}()
	select {
	case <-ctx.Done():
		return "", fmt.Errorf("interrupted; nothing was written: %w", context.Cause(ctx))
	case r := <-read:
		if r.err != nil && !errors.Is(r.err, io.EOF) {
			return "", fmt.Errorf("read the answer: %w", r.err)
		}
		return strings.TrimSpace(r.text), nil
	}
}

func (cmd *initCmd) asker(c *cli) *asker {
	if cmd.Yes || c.Output != "text" || !isTerminal(os.Stdin) || !isTerminal(os.Stderr) {
		return nil
	}
	return &asker{in: bufio.NewReader(os.Stdin), out: os.Stderr}
}

func (cmd *initCmd) Run(ctx context.Context, c *cli) error {
	result, err := cmd.run(ctx, c, cmd.asker(c))
	if err != nil {
		return err
	}
	if err := result.print(c, cmd); err != nil {
		return err
	}
	if len(result.Questions) > 0 || !result.Sample.allSent() {
		return errDiffers
	}
	return nil
}

func (cmd *initCmd) run(ctx context.Context, c *cli, ask *asker) (*initResult, error) {
	// It is a pity to answer questions and then to learn that the file exists.
	if err := cmd.checkFiles(ctx, ask); err != nil {
		return nil, err
	}
	db, err := cmd.introspect(ctx, c)
	if err != nil {
		return nil, err
	}
	found, err := cmd.propose(ctx, db, ask)
	if err != nil {
		return nil, err
	}
	result := &initResult{tables: len(db.Tables), Files: []string{}}
	if result.Sample, err = cmd.try(ctx, found); err != nil {
		return nil, err
	}
	result.ProductsTable, result.PricesTable = found.ProductsTable, found.PricesTable
	result.Questions = append([]proposal.Question{}, found.Questions...)
	result.Notes = append([]string{}, found.Notes...)
	result.YAML, result.SQL = found.YAML, found.SQL
	for _, f := range []struct{ path, text string }{{cmd.Out, found.YAML}, {cmd.SQL, found.SQL}} {
		if f.path == "-" {
			continue
		}
		if err := writeProposal(f.path, f.text, cmd.Force); err != nil {
			return nil, err
		}
		result.Files = append(result.Files, f.path)
	}
	return result, nil
}

// introspect reads the tables.
func (cmd *initCmd) introspect(ctx context.Context, c *cli) (*proposal.Database, error) {
	if cmd.Database == "" {
		if mesh, err := findMesh(c.DataDir); err == nil {
			cmd.Database = config.Secret(mesh.Database)
		}
	}
	if cmd.Database == "" {
		return nil, errors.New("DATABASE_URL is not set: give the database with the tables of the shop, " +
			"like postgres://user:password@host:5432/database")
	}
	db := postgres.Database{
		URL:         cmd.Database.Reveal(),
		File:        cmd.DatabaseFile,
		Setting:     "DATABASE_URL",
		Application: "driftless-init",
	}
	settings, err := db.Config()
	if err != nil {
		return nil, err
	}
	settings.RuntimeParams["default_transaction_read_only"] = "on"
	conn, err := pgx.ConnectConfig(ctx, settings)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the database at %s: %w; start it, or correct DATABASE_URL",
			redact.URL(db.URL), db.Explain(err))
	}
	defer conn.Close(context.WithoutCancel(ctx))
	line := &progress{}
	defer line.clear()
	return introspect.Read(ctx, conn, introspect.Options{
		Schemas: cmd.Schemas,
		Progress: func(done, total int) {
			line.showf("%s looking at the tables: %d of %d", bar(done, total), done, total)
		},
	})
}

// propose makes a proposal, and asks what it does not know if there is somebody to ask.
func (cmd *initCmd) propose(ctx context.Context, db *proposal.Database, ask *asker) (*proposal.Proposal, error) {
	var asked []string
	for {
		found, err := proposal.Propose(db, cmd.answers())
		if err != nil || ask == nil {
			return found, err
		}
		next := slices.IndexFunc(found.Questions, func(q proposal.Question) bool {
			return q.Flag != "" && !slices.Contains(asked, q.Flag)
		})
		if next < 0 {
			return found, nil
		}
		q := found.Questions[next]
		asked = append(asked, q.Flag)
		before := *cmd
		if err := cmd.answer(ctx, q, ask); err != nil {
			return nil, err
		}
		if _, err := proposal.Propose(db, cmd.answers()); err != nil {
			// A table that does not exist: the question is asked again.
			sayf(ask.out, "%s\n", err)
			*cmd, asked = before, asked[:len(asked)-1]
		}
	}
}

func (cmd *initCmd) answers() proposal.Answers {
	return proposal.Answers{
		ProductsTable: cmd.ProductsTable,
		PricesTable:   cmd.PricesTable,
		AmountColumn:  cmd.AmountColumn,
		AmountUnit:    cmd.AmountUnit,
		Currency:      cmd.Currency,
		Interval:      cmd.Interval,
		Language:      cmd.Language,
		Account:       cmd.Account,
		Role:          cmd.Role,
	}
}

// answer asks one question. An empty answer leaves it open.
func (cmd *initCmd) answer(ctx context.Context, q proposal.Question, ask *asker) error {
	sayf(ask.out, "\n%s\n", q.Text)
	choices := ""
	if len(q.Choices) > 0 {
		choices = " (" + strings.Join(q.Choices, ", ") + ")"
	}
	sayf(ask.out, "%s%s, empty to leave it open: ", strings.TrimPrefix(q.Flag, "--"), choices)
	line, err := ask.line(ctx)
	if err != nil {
		return err
	}
	target := map[string]*string{
		"--products-table": &cmd.ProductsTable,
		"--prices-table":   &cmd.PricesTable,
		"--amount-column":  &cmd.AmountColumn,
		"--amount-unit":    &cmd.AmountUnit,
		"--currency":       &cmd.Currency,
		"--interval":       &cmd.Interval,
		"--language":       &cmd.Language,
	}[q.Flag]
	*target = line
	return nil
}

// try reads products with the proposal. What Postgres refuses becomes a question.
func (cmd *initCmd) try(ctx context.Context, found *proposal.Proposal) (*catalogSummary, error) {
	mapping := &config.Mapping{Products: found.Products, Prices: found.Prices}
	errEnough := errors.New("enough")
	summary := &catalogSummary{}
	err := ingestion.ReadCatalog(ctx, ingestion.ReadConfig{
		DatabaseURL:     cmd.Database.Reveal(),
		DatabaseURLFile: cmd.DatabaseFile,
		Mapping:         mapping,
	}, func(p ingestion.ReadProduct) error {
		if summary.Products == initSample {
			return errEnough
		}
		summary.count(p)
		return nil
	})
	if err == nil || errors.Is(err, errEnough) {
		return summary, nil
	}
	if ctx.Err() != nil {
		return nil, err
	}
	found.Ask(proposal.Question{
		Kind: proposal.AskQuery,
		Text: "The queries cannot be used as they are: " + err.Error(),
	})
	return nil, nil //nolint:nilnil // there is no sample, and the question says why
}
