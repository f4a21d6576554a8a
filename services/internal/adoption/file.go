package adoption

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/driftless-sync/driftless/services/internal/visible"
)

// An adoption file is a stream of YAML documents, so that a file of a million products is read and written piece by
// piece. It begins with a header. One document for each product follows.

// Header is the first document of an adoption file.
type Header struct {
	Account string `yaml:"account"`
	// MetadataKey is the key of metadata that was compared.
	MetadataKey string    `yaml:"metadata_key"`
	PlannedAt   time.Time `yaml:"planned_at"`
	// Scan is the id of the scan that the plan rests on.
	Scan string `yaml:"scan"`
}

const introduction = `# Matches of products in the catalog with products in Stripe. Nothing happens before
#   driftless adopt apply FILE
# and then only to the products with approve: true. Matches beyond doubt are already approved. The others
# say above what is doubtful: check them in Stripe, correct what is wrong, and approve or leave them.
`

// Writer writes an adoption file. Flush writes its end.
type Writer struct {
	*bufio.Writer
}

// NewWriter returns a writer that has written the beginning of a file.
func NewWriter(w io.Writer, header Header) (Writer, error) {
	a := Writer{bufio.NewWriter(w)}
	text, err := yaml.Marshal(header)
	if err != nil {
		return a, fmt.Errorf("write the header of the file: %w", err)
	}
	_, err = fmt.Fprintf(a, "%s%s", introduction, text)
	return a, err
}

// About is what the comments of an entry say.
type About struct {
	// Name and StripeName are the names of the product on the two sides.
	Name, StripeName string
	// Reservations are the doubts in words.
	Reservations []string
	// Create are the catalog's ids of the prices that would be created.
	Create []string
}

// AboutProposal returns what the comments of a proposal's entry say.
func AboutProposal(p Proposal, name, stripeName string) About {
	a := About{Name: name, StripeName: stripeName, Create: p.Create}
	for _, r := range p.Reservations {
		a.Reservations = append(a.Reservations, r.Detail)
	}
	return a
}

// Add adds an entry, with its reservations as comments.
func (a Writer) Add(e Entry, about About) error {
	names := fmt.Sprintf("%q in the catalog", about.Name)
	if about.StripeName != "" {
		names += fmt.Sprintf(", %q in Stripe", about.StripeName)
	}
	comments := []string{names}
	for _, detail := range about.Reservations {
		comments = append(comments, strings.TrimSpace("doubtful: "+detail))
	}
	if len(about.Create) > 0 && e.Stripe != "" {
		comments = append(comments, "to be created: "+strings.Join(about.Create, ", "))
	}
	var b strings.Builder
	b.WriteString("---\n")
	for _, comment := range comments {
		// Each comment is one line, whatever the texts of Stripe and the catalog hold: the next line would be read as
		// an entry.
		b.WriteString("# " + visible.Text(comment) + "\n")
	}
	writeEntry(&b, e)
	_, err := a.WriteString(b.String())
	return err
}

// writeEntry writes an entry as YAML. It quotes texts that are not plain words.
func writeEntry(b *strings.Builder, e Entry) {
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

// File is an adoption file to read.
type File struct {
	// Name is that of the file, for errors.
	Name string
	// Open opens it. It is called once for the header and once for the entries.
	Open func() (io.ReadCloser, error)
}

// Header returns the beginning of the file.
func (f File) Header() (Header, error) {
	var header Header
	next, stop := iter.Pull2(f.documents())
	defer stop()
	first, err, ok := next()
	if !ok {
		err = fmt.Errorf("%s is empty", f.Name)
	}
	if err == nil {
		err = first.decode(f.Name, &header)
	}
	if err == nil && header.Account == "" {
		err = fmt.Errorf("%s is not a file of `driftless adopt plan`: it does not begin with the account", f.Name)
	}
	return header, err
}

// Entries returns an iterator over the entries. It ends after the first error.
func (f File) Entries() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		head := true
		for d, err := range f.documents() {
			if head && err == nil {
				head = false
				continue
			}
			if err == nil && len(bytes.TrimSpace(d.text)) == 0 {
				continue
			}
			e := Entry{Line: d.line}
			if err == nil {
				err = d.decode(f.Name, &e)
			}
			if err == nil && e.Product == "" {
				err = fmt.Errorf("%s:%d: the entry names no product", f.Name, d.line)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// document is one YAML document of the file.
type document struct {
	text []byte
	// line is the line of the file at which the document begins.
	line int
}

func (d document) decode(name string, into any) error {
	err := yaml.UnmarshalWithOptions(d.text, into, yaml.Strict())
	if y, ok := errors.AsType[yaml.Error](err); ok {
		line := d.line
		if t := y.GetToken(); t != nil && t.Position != nil {
			line += t.Position.Line - 1
		}
		return fmt.Errorf("%s:%d: %s", name, line, y.GetMessage())
	}
	if err != nil {
		return fmt.Errorf("%s:%d: %w", name, d.line, err)
	}
	return nil
}

// documents splits the file at the lines that separate YAML documents.
func (f File) documents() iter.Seq2[document, error] {
	return func(yield func(document, error) bool) {
		file, err := f.Open()
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
