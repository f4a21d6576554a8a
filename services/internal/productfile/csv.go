package productfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// The messages of a row. A row has the columns of a product and those of one of its prices.
var (
	productMessage = (&catalogv1.Product{}).ProtoReflect().Descriptor()
	priceMessage   = (&catalogv1.Price{}).ProtoReflect().Descriptor()
)

// column is a column of a CSV file.
type column struct {
	name  string
	price bool
	// path are the keys that lead to the value: recurring, interval.
	path  []string
	field protoreflect.FieldDescriptor
	// inMap is set if the column has one value of the map field.
	inMap bool
}

// columnOf returns the column with a name of the header: a field of the product, with or without "product." in front,
// or one of the price, with "price." in front unless the product has a field of that name.
func columnOf(name string) (column, error) {
	c := column{name: name}
	path, isPrice := strings.CutPrefix(name, "price.")
	if !isPrice {
		path, _ = strings.CutPrefix(name, "product.")
		field, _, _ := strings.Cut(path, ".")
		isPrice = path == name && fieldOf(productMessage, field) == nil && fieldOf(priceMessage, field) != nil
	}
	m := productMessage
	if isPrice {
		m = priceMessage
	}
	c.price = isPrice
	err := c.follow(m, path)
	return c, err
}

func fieldOf(m protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if f := m.Fields().ByName(protoreflect.Name(name)); f != nil && f.Name() != "prices" {
		return f
	}
	return nil
}

// follow finds the field at a path within a message.
func (c *column) follow(m protoreflect.MessageDescriptor, path string) error {
	name, rest, deeper := strings.Cut(path, ".")
	f := fieldOf(m, name)
	if f == nil {
		return fmt.Errorf("is no field of %s: a column has Stripe's name, and price. in front if the product has "+
			"a field of the same name", nameOf(m))
	}
	c.path, c.field = append(c.path, name), f
	switch {
	case !deeper:
		return nil
	case rest == "":
		return errors.New("ends with a point")
	case f.IsMap() && f.MapValue().Message() == nil:
		// The key is all that follows, since it may have points.
		c.path, c.inMap = append(c.path, rest), true
		return nil
	case f.IsMap():
		key, rest, deeper := strings.Cut(rest, ".")
		if c.path = append(c.path, key); !deeper {
			return fmt.Errorf("needs a field after %s", key)
		}
		return c.follow(f.MapValue().Message(), rest)
	case f.Message() != nil && !f.IsList():
		return c.follow(f.Message(), rest)
	default:
		return fmt.Errorf("has no fields of its own: give %s as JSON in one cell", strings.Join(c.path, "."))
	}
}

// value returns the value of a cell. Lists, maps and objects are JSON. An empty cell is no value.
func (c *column) value(cell string, line int) (*node, error) {
	f := c.field
	switch {
	case cell == "":
		return &node{kind: null, line: line}, nil
	case c.inMap:
	case f.IsMap(), f.IsList(), f.Message() != nil:
		values, err := newJSONReader([]byte(cell), line).values()
		if err != nil || len(values) != 1 {
			return nil, faultf(line, c.name, "must be JSON, like %s", exampleOf(f))
		}
		return values[0], nil
	case f.Kind() == protoreflect.BoolKind:
		// Spreadsheets write TRUE.
		if word := strings.ToLower(cell); word == "true" || word == "false" {
			return &node{kind: boolean, text: word, line: line}, nil
		}
	}
	return &node{kind: text, text: cell, line: line}, nil
}

func exampleOf(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap() && f.MapValue().Message() == nil:
		return `{"color": "red"}`
	case f.IsList() && f.Message() == nil:
		return `["https://example.com/mug.png"]`
	case f.IsList():
		return `[{"name": "Fast"}]`
	default:
		return `{"usd": {"unit_amount": 1500}}`
	}
}

// set sets the column's value in an object, and makes the objects on the way.
func (c *column) set(into, value *node) error {
	for _, key := range c.path[:len(c.path)-1] {
		inner := into.get(key)
		if inner == nil {
			inner = &node{kind: object, line: value.line}
			into.add(key, inner)
		}
		if inner.kind != object {
			return faultf(value.line, c.name, "the column %s gives it too", key)
		}
		into = inner
	}
	if !into.add(c.path[len(c.path)-1], value) {
		return faultf(value.line, c.name, "another column gives it too")
	}
	return nil
}

// row is the first row of a product.
type row struct {
	product *node
	prices  *node
	cells   []string
	lines   []int
}

type csvFile struct {
	columns []column
	id      int
	found   map[string]*row
	order   []*node
}

// parseCSV returns the products of a CSV file. Rows with the same product id are one product.
func parseCSV(data []byte) ([]*node, error) {
	r := csv.NewReader(bytes.NewReader(keepReturns(data)))
	r.FieldsPerRecord = -1
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, faultf(1, "", "the file has no header")
	} else if err != nil {
		return nil, csvFault(err)
	}
	f, err := newCSVFile(header)
	if err != nil {
		return nil, err
	}
	for {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			return f.order, nil
		} else if err != nil {
			return nil, csvFault(err)
		}
		line, _ := r.FieldPos(0)
		if len(cells) != len(header) {
			return nil, faultf(line, "", "the row has %d cells, and the header has %d", len(cells), len(header))
		}
		if err := f.add(cells, line); err != nil {
			return nil, err
		}
	}
}

func csvFault(err error) error {
	if wrong, ok := errors.AsType[*csv.ParseError](err); ok {
		return faultf(wrong.Line, "", "this is no CSV: column %d: %s", wrong.Column, wrong.Err)
	}
	return faultf(1, "", "this is no CSV: %s", err)
}

func newCSVFile(header []string) (*csvFile, error) {
	f := &csvFile{found: map[string]*row{}}
	if len(header) == 1 && strings.ContainsAny(header[0], ";\t") {
		return nil, faultf(1, "", "the columns must be separated by commas")
	}
	for _, name := range header {
		c, err := columnOf(strings.TrimSpace(name))
		if err != nil {
			return nil, faultf(1, name, "%s", err)
		}
		same := func(o column) bool { return o.price == c.price && slices.Equal(o.path, c.path) }
		if slices.ContainsFunc(f.columns, same) {
			return nil, faultf(1, name, "is in the header twice")
		}
		f.columns = append(f.columns, c)
	}
	f.id = slices.IndexFunc(f.columns, func(c column) bool { return !c.price && c.path[0] == "id" })
	if f.id < 0 {
		return nil, faultf(1, "id", "the header has no column for the id of the product")
	}
	return f, nil
}

// add adds a row.
func (f *csvFile) add(cells []string, line int) error {
	id := cells[f.id]
	if id == "" {
		return faultf(line, f.columns[f.id].name, "is empty: every row needs the id of its product")
	}
	r := f.found[id]
	if r == nil {
		r = &row{
			product: &node{kind: object, line: line},
			prices:  &node{kind: list, line: line},
			cells:   make([]string, len(cells)),
			lines:   make([]int, len(cells)),
		}
		r.product.add("prices", r.prices)
		f.found[id], f.order = r, append(f.order, r.product)
	}
	price := &node{kind: object, line: line}
	for i, cell := range cells {
		c, into := &f.columns[i], price
		if cell == "" {
			continue
		}
		if !c.price {
			if r.cells[i] == cell {
				continue
			}
			if r.cells[i] != "" {
				return faultf(line, c.name, "differs from line %d, and both are product %s", r.lines[i], id)
			}
			r.cells[i], r.lines[i], into = cell, line, r.product
		}
		value, err := c.value(cell, line)
		if err != nil {
			return err
		}
		if err := c.set(into, value); err != nil {
			return err
		}
	}
	if len(price.items) > 0 {
		r.prices.items = append(r.prices.items, price)
	}
	return nil
}

// keepReturns doubles each carriage return before the end of a line within quotes. encoding/csv drops one.
func keepReturns(data []byte) []byte {
	if !bytes.Contains(data, []byte("\r\n")) {
		return data
	}
	out, quoted := make([]byte, 0, len(data)+16), false
	for i, c := range data {
		if c == '"' {
			quoted = !quoted
		}
		if out = append(out, c); quoted && c == '\r' && i+1 < len(data) && data[i+1] == '\n' {
			out = append(out, c)
		}
	}
	return out
}
