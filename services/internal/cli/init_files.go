package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// checkFiles returns an error if a file exists that must not be overwritten. On a terminal it asks.
func (cmd *initCmd) checkFiles(ctx context.Context, ask *asker) error {
	if cmd.Out == cmd.SQL && cmd.Out != "-" {
		return errors.New("--out and --sql name the same file")
	}
	if cmd.Force {
		return nil
	}
	var existing []string
	for _, path := range []string{cmd.Out, cmd.SQL} {
		if path == "-" {
			continue
		}
		if _, err := os.Stat(path); err == nil {
			existing = append(existing, path)
		}
	}
	if len(existing) == 0 {
		return nil
	}
	names := strings.Join(existing, " and ")
	if ask != nil {
		sayf(ask.out, "Overwrite %s? [y/N] ", names)
		line, err := ask.line(ctx)
		if err != nil {
			return err
		}
		if answer := strings.ToLower(line); answer == "y" || answer == "yes" {
			cmd.Force = true
			return nil
		}
	}
	return existsError(existing...)
}

func existsError(files ...string) error {
	return fmt.Errorf(
		"files that exist are not overwritten (%s): choose others with --out and --sql, or overwrite with "+
			"--force", strings.Join(files, ", "))
}

// writeProposal writes a file. It overwrites one only if it may.
func writeProposal(path, text string, overwrite bool) error {
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if overwrite {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(path, flags, 0o644) //nolint:gosec // the files have no secrets
	if errors.Is(err, fs.ErrExist) {
		return existsError(path)
	}
	if err != nil {
		return fmt.Errorf("write the proposal: %w", err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the proposal: %w", err)
	}
	return nil
}

func (r *initResult) print(c *cli, cmd *initCmd) error {
	if c.Output == "json" {
		return printJSON(r)
	}
	if cmd.Out == "-" {
		sayf(stdout, "%s\n", lines(r.YAML))
	}
	if cmd.SQL == "-" {
		sayf(stdout, "%s\n", lines(r.SQL))
	}
	prices := r.PricesTable
	if prices == "" {
		prices = "unknown"
	}
	// Standard output may be the file.
	w := os.Stderr
	if cmd.Out != "-" && cmd.SQL != "-" {
		w = stdout
	}
	sayf(w, "Looked at %s. Products are in %s, prices in %s.\n", countOf(r.tables, "table", "tables"),
		r.ProductsTable, prices)
	if len(r.Files) > 0 {
		sayf(w, "Wrote %s. Nothing was changed in the database.\n", strings.Join(r.Files, " and "))
	}
	switch s := r.Sample; {
	case s == nil:
	case s.Products == 0:
		sayf(w, "The products query returns no rows, so nothing could be tried.\n")
	default:
		sayf(w, "The queries read %s with %s; %s would be refused.\n",
			countOf(s.Products, "product", "products"),
			countOf(s.Prices, "price", "prices"), formatCount(uint64(s.Refused)))
	}
	if len(r.Questions) > 0 {
		sayf(w, "\n%s, and in the file:\n", countOf(len(r.Questions), "question is open", "questions are open"))
		for _, q := range r.Questions {
			sayf(w, "- %s\n", q.Text)
			if q.Flag != "" {
				sayf(w, "  Answer: driftless init %s\n", strings.TrimSpace(q.Flag+" "+strings.Join(q.Choices, "|")))
			}
		}
	}
	if cmd.Out != "-" && cmd.SQL != "-" {
		sayf(w, `
Next:
  driftless preview --config %[1]s
      shows the products
  psql "$DATABASE_URL" -f %[2]s
      makes the role for Driftless; run it as the owner of the tables
  driftless up --dry-run --config %[1]s
      plans against Stripe, and writes nothing there
`, cmd.Out, cmd.SQL)
	}
	return nil
}
