package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/driftless-sync/driftless/services/internal/adoption"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// An adoption file is a stream of YAML documents, so that a file of a million products is read and written piece by
// piece. It begins with a header. One document for each product follows.

// adoptHeader is the first document of an adoption file.
type adoptHeader struct {
	Account string `yaml:"account"`
	// MetadataKey is the key of metadata that was compared.
	MetadataKey string    `yaml:"metadata_key"`
	PlannedAt   time.Time `yaml:"planned_at"`
	// Scan is the id of the scan that the plan rests on.
	Scan string `yaml:"scan"`
}

// adoptEntry is one match, which the operator approves or not.
type adoptEntry struct {
	// Product is the catalog's id.
	Product string `json:"product"            yaml:"product"`
	// Stripe is Stripe's id of the product.
	Stripe string `json:"stripe"             yaml:"stripe"`
	// Why they match; empty if the operator says so.
	Why string `json:"why"                yaml:"why,omitempty"`
	// Prices are Stripe's ids by the catalog's. If absent, the prices are paired when the file is applied.
	Prices map[string]string `json:"prices"             yaml:"prices,omitempty"`
	// Replace are the prices among them that may be replaced.
	Replace []string `json:"replace"            yaml:"replace,omitempty"`
	Doubts  []string `json:"doubts"             yaml:"doubts,omitempty"`
	Approve bool     `json:"approve"            yaml:"approve"`

	// line is the line of the file at which the entry begins.
	line int
}

func entryOf(p adoption.Proposal) adoptEntry {
	e := adoptEntry{
		Product: p.Product,
		Stripe:  p.StripeID,
		Why:     string(p.Why),
		Prices:  p.Prices,
		Replace: p.Replace,
		Doubts:  p.Doubts(),
		Approve: p.IsCertain(),
	}
	if p.StripeID == "" {
		e.Prices = nil
	}
	return e
}

const adoptIntroduction = `# Matches of products in the catalog with products in Stripe. Nothing happens before
#   driftless adopt apply FILE
# and then only to the products with approve: true. Matches beyond doubt are already approved. The others
# say above what is doubtful: check them in Stripe, correct what is wrong, and approve or leave them.
`

// adoptWriter writes an adoption file.
type adoptWriter struct {
	*bufio.Writer
}

func newAdoptWriter(w io.Writer, header adoptHeader) (adoptWriter, error) {
	a := adoptWriter{bufio.NewWriter(w)}
	text, err := yaml.Marshal(header)
	if err != nil {
		return a, fmt.Errorf("write the header of the file: %w", err)
	}
	_, err = fmt.Fprintf(a, "%s%s", adoptIntroduction, text)
	return a, err
}

// write adds a product, with its reservations as comments.
func (a adoptWriter) write(p adoption.Proposal, name, stripeName string) error {
	names := fmt.Sprintf("%q in the catalog", name)
	if stripeName != "" {
		names += fmt.Sprintf(", %q in Stripe", stripeName)
	}
	comments := []string{names}
	for _, r := range p.Reservations {
		comments = append(comments, strings.TrimSpace("doubtful: "+r.Detail))
	}
	if len(p.Create) > 0 && p.StripeID != "" {
		comments = append(comments, "to be created: "+strings.Join(p.Create, ", "))
	}
	var b strings.Builder
	b.WriteString("---\n")
	for _, comment := range comments {
		// Each comment is one line, whatever the texts of Stripe and the catalog hold: the next line would be read as
		// an entry.
		b.WriteString("# " + visible.Text(comment) + "\n")
	}
	writeEntry(&b, entryOf(p))
	_, err := a.WriteString(b.String())
	return err
}

// writeEntry writes an entry as YAML. It quotes texts that are not plain words.
func writeEntry(b *strings.Builder, e adoptEntry) {
	fmt.Fprintf(b, "product: %s\nstripe: %s\nwhy: %s\n", quoted(e.Product), quoted(e.Stripe), quoted(e.Why))
	switch {
	case e.Prices == nil:
	case len(e.Prices) == 0:
		b.WriteString("prices: {}\n")
	default:
		b.WriteString("prices:\n")
		for _, id := range slices.Sorted(maps.Keys(e.Prices)) {
			fmt.Fprintf(b, "  %s: %s\n", quoted(id), quoted(e.Prices[id]))
		}
	}
	list := func(name string, items []string) {
		if len(items) == 0 {
			return
		}
		b.WriteString(name + ":\n")
		for _, item := range items {
			fmt.Fprintf(b, "- %s\n", quoted(item))
		}
	}
	list("replace", e.Replace)
	list("doubts", e.Doubts)
	fmt.Fprintf(b, "approve: %t\n", e.Approve)
}

// plainWords are texts that YAML reads as texts and as nothing else.
var plainWords = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*( [A-Za-z0-9_-]+)*$`)

// quoted returns a text as a YAML scalar: as it is, or in double quotes with invisible characters escaped.
func quoted(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off", "y", "n", "null":
	default:
		if plainWords.MatchString(s) {
			return s
		}
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case visible.Text(string(r)) == string(r):
			b.WriteRune(r)
		case r <= 0xff:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// readAdoptFile returns the header of the file and an iterator over its entries. The iterator ends after the first
// error.
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
		err = fmt.Errorf("%s is not a file of `driftless adopt plan`: it does not begin with the account", path)
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

// document is one YAML document of the file.
type document struct {
	text []byte
	// line is the line of the file at which the document begins.
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

// documents splits the file at the lines that separate YAML documents.
func documents(path string) iter.Seq2[document, error] {
	return func(yield func(document, error) bool) {
		file, err := os.Open(path)
		if err != nil {
			yield(document{}, fmt.Errorf("read the adoption file: %w", err))
			return
		}
		defer file.Close()
		d := document{line: 1}
		lines := bufio.NewReader(file)
		for n := 1; ; n++ {
			line, err := lines.ReadBytes('\n')
			if err != nil && !errors.Is(err, io.EOF) {
				yield(document{}, fmt.Errorf("read the adoption file: %w", err))
				return
			}
			if isSeparator(line) {
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

func isSeparator(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(bytes.TrimSpace(rest)) == 0 || bytes.HasPrefix(bytes.TrimSpace(rest), []byte("#")))
}
