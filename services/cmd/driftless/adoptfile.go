package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/driftless-sync/driftless/services/adoption"
)

// The file of an adoption is a stream of YAML documents, so that one of a million products is read and written piece by
// piece: first what it is about, then one document for each product.

// adoptHeader says what the file is about.
type adoptHeader struct {
	Account string `yaml:"account"`
	// MetadataKey that was compared.
	MetadataKey string    `yaml:"metadata_key"`
	PlannedAt   time.Time `yaml:"planned_at"`
	// Scan that the plan rests on.
	Scan string `yaml:"scan"`
}

// adoptEntry is what an operator approves or does not.
type adoptEntry struct {
	// Product is the catalog's id.
	Product string `json:"product"            yaml:"product"`
	// Stripe is Stripe's id of the product.
	Stripe string `json:"stripe"             yaml:"stripe"`
	// Why they are thought to be one; empty if the operator says so.
	Why string `json:"why,omitempty"      yaml:"why,omitempty"`
	// Prices are Stripe's ids by the catalog's. Absent, the prices are paired when the file is applied.
	Prices map[string]string `json:"prices,omitempty"   yaml:"prices,omitempty"`
	// Replace are the prices among them that may be replaced.
	Replace []string `json:"replace,omitempty"  yaml:"replace,omitempty"`
	Doubts  []string `json:"doubts,omitempty"   yaml:"doubts,omitempty"`
	Approve bool     `json:"approve"            yaml:"approve"`

	// line of the file at which it begins.
	line int
}

func entryOf(p adoption.Proposal) adoptEntry {
	e := adoptEntry{
		Product: p.Product, Stripe: p.StripeID, Why: string(p.Why), Prices: p.Prices, Replace: p.Replace, Doubts: p.Doubts(), Approve: p.Certain(),
	}
	if p.StripeID == "" {
		e.Prices = nil
	}
	return e
}

const adoptIntroduction = `# Which of Stripe's products are the catalog's. Nothing happens before
#   driftless adopt apply FILE
# and then only to the products with approve: true. Those that nothing speaks against are approved already. The others
# say above what is doubtful: look at them in Stripe, correct what is wrong, and approve or leave them.
`

// adoptWriter writes the file.
type adoptWriter struct {
	*bufio.Writer
}

func newAdoptWriter(w io.Writer, header adoptHeader) (adoptWriter, error) {
	a := adoptWriter{bufio.NewWriter(w)}
	text, err := yaml.Marshal(header)
	if err != nil {
		return a, fmt.Errorf("write the head of the file: %w", err)
	}
	_, err = fmt.Fprintf(a, "%s%s", adoptIntroduction, text)
	return a, err
}

// write adds a product, with what speaks against it as comments.
func (a adoptWriter) write(p adoption.Proposal, want, held string) error {
	e := entryOf(p)
	document := yaml.MapSlice{{Key: "product", Value: e.Product}, {Key: "stripe", Value: e.Stripe}, {Key: "why", Value: e.Why}}
	if e.Prices != nil {
		prices := yaml.MapSlice{}
		for _, id := range slices.Sorted(maps.Keys(e.Prices)) {
			prices = append(prices, yaml.MapItem{Key: id, Value: e.Prices[id]})
		}
		document = append(document, yaml.MapItem{Key: "prices", Value: prices})
	}
	if len(e.Replace) > 0 {
		document = append(document, yaml.MapItem{Key: "replace", Value: e.Replace})
	}
	if len(e.Doubts) > 0 {
		document = append(document, yaml.MapItem{Key: "doubts", Value: e.Doubts})
	}
	document = append(document, yaml.MapItem{Key: "approve", Value: e.Approve})
	text, err := yaml.Marshal(document)
	if err != nil {
		return fmt.Errorf("write product %s: %w", p.Product, err)
	}
	names := fmt.Sprintf("%q in the catalog", want)
	if held != "" {
		names += fmt.Sprintf(", %q in Stripe", held)
	}
	comments := []string{names}
	for _, r := range p.Reservations {
		comments = append(comments, strings.TrimSpace("doubtful: "+r.Detail))
	}
	if len(p.Create) > 0 && p.StripeID != "" {
		comments = append(comments, "to be created: "+strings.Join(p.Create, ", "))
	}
	_, err = fmt.Fprintf(a, "---\n# %s\n%s", strings.Join(comments, "\n# "), text)
	return err
}

// readAdoptFile yields the head of the file, in the first turn alone, and then its entries. It ends after the first error.
func readAdoptFile(path string) (adoptHeader, iter.Seq2[adoptEntry, error], error) {
	var header adoptHeader
	next, stop := iter.Pull2(documents(path))
	defer stop()
	first, err, ok := next()
	if !ok {
		err = fmt.Errorf("%s is empty", path)
	}
	if err == nil {
		err = first.decode(path, &header)
	}
	if err == nil && header.Account == "" {
		err = fmt.Errorf("%s is no file of `driftless adopt plan`: it does not begin with the account", path)
	}
	if err != nil {
		return header, nil, err
	}
	return header, func(yield func(adoptEntry, error) bool) {
		head := true
		for d, err := range documents(path) {
			if head && err == nil {
				head = false
				continue
			}
			if err == nil && len(bytes.TrimSpace(d.text)) == 0 {
				continue
			}
			e := adoptEntry{line: d.line}
			if err == nil {
				err = d.decode(path, &e)
			}
			if err == nil && e.Product == "" {
				err = fmt.Errorf("%s:%d: the entry names no product", path, d.line)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}, nil
}

// document is a part of the file.
type document struct {
	text []byte
	// line of the file at which it begins.
	line int
}

func (d document) decode(path string, into any) error {
	err := yaml.UnmarshalWithOptions(d.text, into, yaml.Strict())
	if y, ok := errors.AsType[yaml.Error](err); ok {
		line := d.line
		if t := y.GetToken(); t != nil && t.Position != nil {
			line += t.Position.Line - 1
		}
		return fmt.Errorf("%s:%d: %s", path, line, y.GetMessage())
	}
	if err != nil {
		return fmt.Errorf("%s:%d: %w", path, d.line, err)
	}
	return nil
}

// documents splits the file at the lines that end a YAML document.
func documents(path string) iter.Seq2[document, error] {
	return func(yield func(document, error) bool) {
		file, err := os.Open(path)
		if err != nil {
			yield(document{}, fmt.Errorf("read the file of the adoption: %w", err))
			return
		}
		defer file.Close()
		d := document{line: 1}
		lines := bufio.NewReader(file)
		for n := 1; ; n++ {
			line, err := lines.ReadBytes('\n')
			if err != nil && !errors.Is(err, io.EOF) {
				yield(document{}, fmt.Errorf("read the file of the adoption: %w", err))
				return
			}
			if separates(line) {
				if !yield(d, nil) {
					return
				}
				d = document{line: n + 1}
			} else {
				d.text = append(d.text, line...)
			}
			if err != nil {
				yield(d, nil)
				return
			}
		}
	}
}

func separates(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(bytes.TrimSpace(rest)) == 0 || bytes.HasPrefix(bytes.TrimSpace(rest), []byte("#")))
}
