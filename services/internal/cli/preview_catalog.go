package cli

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/internal/config"
)

// previewCmd shows the catalog as the mapping reads it.
type previewCmd struct {
	Products []string      `arg:"" optional:"" name:"product" help:"Ids of products. Defaults to all."`
	Limit    int           `default:"20" help:"Show at most this many products. 0 means all. All are read and counted in any case."`
	Refused  bool          `help:"Show only products that would be refused."`
	Account  string        `env:"DRIFTLESS_ACCOUNT" default:"default" help:"Account whose mapping is read."`
	Database config.Secret `name:"database" secret:"" placeholder:"URL" help:"Database to read. Defaults to DATABASE_URL, then to the database of the mesh on the data directory."`
}

func (*previewCmd) Help() string {
	return `Reads the products with the mapping of --config, as ingestion does, and shows them as Stripe would: names,
prices and whether they are active. Says which of them would be refused, and counts those by reason.

It needs only the database, and no mesh. It reads in one read-only transaction and writes nothing: not to the database
and not to Stripe. It does not check what capture needs: use ` + "`driftless config check --database`" + ` for that.

Exits with 0 if every product would be sent, and with 2 if products would be refused or held, or there are none.`
}

// catalogPreview is what a preview shows.
type catalogPreview struct {
	Products []previewedProduct `json:"products"`
	Summary  catalogSummary     `json:"summary"`
}

type catalogSummary struct {
	Products  int `json:"products"`
	Active    int `json:"active"`
	Prices    int `json:"prices"`
	Refused   int `json:"refused"`
	Held      int `json:"held"`
	Unchecked int `json:"unchecked"`
	// Shown is how many products the answer has. With Refused only those that would be refused are shown.
	Shown       int             `json:"shown"`
	RefusedOnly bool            `json:"refused_only"`
	Reasons     []refusalReason `json:"reasons"`
	Checks      []refusalReason `json:"checks"`
}

// refusalReason counts the products that are refused for a reason, or held by a check.
type refusalReason struct {
	Products int    `json:"products"`
	Reason   string `json:"reason"`
	Example  string `json:"example"`
}

type previewedProduct struct {
	ID      string   `json:"id"`
	Refused []string `json:"refused"`
	Held    []string `json:"held"`
	// Product is null if a query fails for it.
	Product *message `json:"product"`
	read    ingestion.ReadProduct
}

func (cmd *previewCmd) Run(ctx context.Context, c *cli) error {
	if cmd.Limit < 0 {
		return errors.New("--limit must not be negative: 0 shows all products")
	}
	cfg, err := cmd.source(c)
	if err != nil {
		return err
	}
	line := &progress{}
	cfg.Progress = func(done, expected int) {
		line.showf("%s reading the catalog: %s of %s products", bar(done, expected), formatCount(uint64(done)),
			formatCount(uint64(expected)))
	}
	out, err := readPreview(ctx, cfg, cmd.Limit, cmd.Refused)
	line.clear()
	if err != nil {
		return err
	}
	if c.Output == "json" {
		err = printJSON(out)
	} else {
		out.print(stdout)
	}
	if err == nil && !out.Summary.allSent() {
		err = errDiffers
	}
	return err
}

// source returns what to read.
func (cmd *previewCmd) source(c *cli) (cfg ingestion.ReadConfig, err error) {
	conf, err := readConfiguration(c.Config, cmd.Account)
	if err != nil {
		return cfg, err
	}
	cfg = ingestion.ReadConfig{
		DatabaseURL:     conf.settings.DatabaseURL.Reveal(),
		DatabaseURLFile: conf.settings.DatabaseURLFile,
		Mapping:         conf.mapping,
		Products:        cmd.Products,
	}
	if cmd.Database != "" {
		cfg.DatabaseURL, cfg.DatabaseURLFile = cmd.Database.Reveal(), ""
	}
	if cfg.DatabaseURL == "" {
		if mesh, err := findMesh(c.DataDir); err == nil {
			cfg.DatabaseURL = mesh.Database
		}
	}
	return cfg, nil
}

// readPreview reads the catalog, and keeps at most limit of its products. 0 means all.
func readPreview(ctx context.Context, cfg ingestion.ReadConfig, limit int, refusedOnly bool) (*catalogPreview, error) {
	out := &catalogPreview{Products: []previewedProduct{}, Summary: catalogSummary{RefusedOnly: refusedOnly}}
	reasons, checks := map[string]*refusalReason{}, map[string]*refusalReason{}
	err := ingestion.ReadCatalog(ctx, cfg, func(p ingestion.ReadProduct) error {
		out.Summary.count(p)
		for kind, text := range p.Refused {
			countReason(reasons, kind, text, p.ID)
		}
		for _, text := range p.Held {
			name, _, _ := strings.Cut(text, ":")
			countReason(checks, name, text, p.ID)
		}
		if limit > 0 && len(out.Products) == limit || refusedOnly && len(p.Refused) == 0 {
			return nil
		}
		out.Products = append(out.Products, newPreviewedProduct(p))
		return nil
	})
	out.Summary.Shown = len(out.Products)
	out.Summary.Reasons, out.Summary.Checks = sortedReasons(reasons), sortedReasons(checks)
	return out, err
}

func newPreviewedProduct(p ingestion.ReadProduct) previewedProduct {
	out := previewedProduct{ID: p.ID, read: p, Held: append([]string{}, p.Held...)}
	out.Refused = append([]string{}, slices.Sorted(maps.Values(p.Refused))...)
	if p.Product == nil {
		return out
	}
	out.Product = &message{p.Product}
	return out
}

func (s *catalogSummary) count(p ingestion.ReadProduct) {
	s.Products++
	s.Prices += len(p.Product.GetPrices())
	switch {
	case len(p.Refused) > 0:
		s.Refused++
	case p.Product.Active == nil || p.Product.GetActive():
		s.Active++
	}
	if len(p.Held) > 0 {
		s.Held++
	}
	if len(p.Unchecked) > 0 {
		s.Unchecked++
	}
}

// allSent reports whether there are products, and push would get all of them.
func (s *catalogSummary) allSent() bool {
	return s != nil && s.Products > 0 && s.Refused == 0 && s.Held == 0 && s.Unchecked == 0
}

func countReason(all map[string]*refusalReason, kind, text, example string) {
	if all[kind] == nil {
		all[kind] = &refusalReason{Reason: text, Example: example}
	}
	all[kind].Products++
}

// sortedReasons returns the reasons, those with the most products first.
func sortedReasons(all map[string]*refusalReason) []refusalReason {
	out := []refusalReason{}
	for _, r := range all {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b refusalReason) int {
		if a.Products != b.Products {
			return b.Products - a.Products
		}
		return strings.Compare(a.Reason, b.Reason)
	})
	return out
}
