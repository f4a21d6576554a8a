package productfile

import (
	"bytes"
	"fmt"
	"io"
	"unicode/utf8"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// Read returns the products of a file. JSON and YAML are {"products": [...]} or a list of products. Each value of JSON
// lines is a product. The whole file is read before anything is returned, so that a fault in its last line is found
// before the first product is used. The error is an *Error if it is about the contents.
func Read(data []byte, format Format) ([]Located, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !utf8.Valid(data) {
		return nil, faultf(lineOfInvalid(data), "", "the file must be in UTF-8")
	}
	var products []*node
	var err error
	switch format {
	case JSON:
		products, err = readJSON(data)
	case Lines:
		products, err = newJSONReader(data, 1).values()
	case YAML:
		products, err = readYAML(data)
	case CSV:
		products, err = parseCSV(data)
	default:
		return nil, fmt.Errorf("unknown format %q", format)
	}
	if err != nil {
		return nil, err
	}
	return locate(products, format)
}

func lineOfInvalid(data []byte) int {
	line := 1
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		if r == utf8.RuneError && n == 1 {
			break
		}
		if r == '\n' {
			line++
		}
		data = data[n:]
	}
	return line
}

// locate turns values into products.
func locate(values []*node, format Format) ([]Located, error) {
	out, lines := make([]Located, 0, len(values)), map[string]int{}
	for i, n := range values {
		path := ""
		if format == JSON || format == YAML {
			path = fmt.Sprintf("products[%d]", i)
		}
		p := &catalogv1.Product{}
		if err := fill(p.ProtoReflect(), n, path); err != nil {
			return nil, err
		}
		if first, twice := lines[p.GetId()]; twice && p.GetId() != "" {
			return nil, faultf(n.line, join(path, "id"), "product %s is on line %d already", p.GetId(), first)
		}
		lines[p.GetId()] = n.line
		at := Located{Product: p, Line: n.line}
		if prices := n.get("prices"); prices != nil {
			for _, price := range prices.items {
				at.PriceLines = append(at.PriceLines, price.line)
			}
		}
		out = append(out, at)
	}
	return out, nil
}

func readJSON(data []byte) ([]*node, error) {
	values, err := newJSONReader(data, 1).values()
	switch {
	case err != nil:
		return nil, err
	case len(values) == 0:
		return nil, faultf(1, "", "the file is empty")
	case len(values) > 1:
		return nil, faultf(values[1].line, "", "text follows after the products: several values are JSON lines (jsonl)")
	}
	return productsIn(values[0])
}

func readYAML(data []byte) (all []*node, err error) {
	documents, err := parseYAML(data)
	if err != nil {
		return nil, err
	}
	if len(documents) == 0 {
		return nil, faultf(1, "", "the file is empty")
	}
	for _, document := range documents {
		products, err := productsIn(document)
		if err != nil {
			return nil, err
		}
		all = append(all, products...)
	}
	return all, nil
}

// productsIn returns the products of {"products": [...]} or [...].
func productsIn(n *node) ([]*node, error) {
	if n.kind == object {
		for i, key := range n.keys {
			if key != "products" {
				return nil, faultf(n.items[i].line, key,
					`is not a field: a file is {"products": [...]} or a list of products`)
			}
		}
		inner := n.get("products")
		switch {
		case inner == nil, inner.kind == null:
			return nil, nil
		case inner.kind != list:
			return nil, faultf(inner.line, "products", "must be a list, not %s", inner.kind)
		}
		n = inner
	}
	if n.kind != list {
		return nil, faultf(n.line, "", `a file is {"products": [...]} or a list of products, not %s`, n.kind)
	}
	return n.items, nil
}

// Writer writes products one by one. It keeps nothing in memory: when Add returns, the whole product is written. Close
// ends the file, even one without products, and does not close what it is written to.
type Writer interface {
	Add(p *catalogv1.Product) error
	Close() error
}

// NewWriter returns a writer of a format.
func NewWriter(w io.Writer, format Format) (Writer, error) {
	switch format {
	case JSON:
		return &treeWriter{
			w:       w,
			one:     jsonItem,
			begin:   "{\"products\":[\n",
			between: ",\n",
			end:     "\n]}\n",
			none:    "{\"products\":[]}\n",
		}, nil
	case Lines:
		return &treeWriter{w: w, one: jsonItem, between: "\n", end: "\n"}, nil
	case YAML:
		return &treeWriter{w: w, one: yamlItem, begin: "products:\n", none: "products: []\n"}, nil
	case CSV:
		return newCSVWriter(w), nil
	default:
		return nil, fmt.Errorf("unknown format %q", format)
	}
}

func jsonItem(n *node) []byte { return appendJSON(nil, n) }
func yamlItem(n *node) []byte { return appendYAMLItem(nil, n, 2) }

// treeWriter writes products as items of a list.
type treeWriter struct {
	w                         io.Writer
	one                       func(*node) []byte
	begin, between, end, none string
	items                     int
}

func (t *treeWriter) Add(p *catalogv1.Product) error {
	before := t.between
	if t.items == 0 {
		before = t.begin
	}
	t.items++
	return t.write(append([]byte(before), t.one(tree(p.ProtoReflect()))...))
}

func (t *treeWriter) Close() error {
	if t.items == 0 {
		return t.write([]byte(t.none))
	}
	return t.write([]byte(t.end))
}

func (t *treeWriter) write(data []byte) error {
	if _, err := t.w.Write(data); err != nil {
		return fmt.Errorf("write the products: %w", err)
	}
	return nil
}
