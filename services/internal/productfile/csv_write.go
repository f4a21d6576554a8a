package productfile

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// written are the columns that a written file has. They do not depend on the products, so that no product needs to be
// known before the header.
var written = append(columnsOf(productMessage, "", false, nil), columnsOf(priceMessage, "price.", true, nil)...)

// columnsOf returns a column for each field of a message. The fields of a message in it have columns of their own. The
// exception is custom_unit_amount, which may be there without any field.
func columnsOf(m protoreflect.MessageDescriptor, prefix string, isPrice bool, path []string) (all []column) {
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		name, at := prefix+string(f.Name()), slices.Concat(path, []string{string(f.Name())})
		switch {
		case f.Name() == "prices":
		case f.Message() != nil && !f.IsList() && !f.IsMap() && f.Name() != "custom_unit_amount":
			all = append(all, columnsOf(f.Message(), name+".", isPrice, at)...)
		default:
			all = append(all, column{name: name, price: isPrice, path: at, field: f})
		}
	}
	return all
}

// csvWriter writes a row for each price, and one for a product without prices.
type csvWriter struct {
	w     *csv.Writer
	begun bool
}

func newCSVWriter(w io.Writer) *csvWriter { return &csvWriter{w: csv.NewWriter(w)} }

func (c *csvWriter) begin() error {
	if c.begun {
		return nil
	}
	c.begun = true
	header := make([]string, len(written))
	for i, column := range written {
		header[i] = column.name
	}
	return c.w.Write(header)
}

func (c *csvWriter) Add(p *catalogv1.Product) error {
	if err := c.begin(); err != nil {
		return fmt.Errorf("write the products: %w", err)
	}
	product, prices := tree(p.ProtoReflect()), []*node{{kind: object}}
	if all := product.get("prices"); all != nil {
		prices = all.items
	}
	for _, price := range prices {
		row := make([]string, len(written))
		for i, column := range written {
			from := product
			if column.price {
				from = price
			}
			row[i] = cellOf(from, column.path)
		}
		if err := c.w.Write(row); err != nil {
			return fmt.Errorf("write the products: %w", err)
		}
	}
	return c.flush()
}

func cellOf(n *node, path []string) string {
	for _, key := range path {
		if n = n.get(key); n == nil {
			return ""
		}
	}
	if n.kind == list || n.kind == object {
		return string(appendJSON(nil, n))
	}
	return n.text
}

func (c *csvWriter) Close() error {
	if err := c.begin(); err != nil {
		return fmt.Errorf("write the products: %w", err)
	}
	return c.flush()
}

func (c *csvWriter) flush() error {
	if c.w.Flush(); c.w.Error() != nil {
		return fmt.Errorf("write the products: %w", c.w.Error())
	}
	return nil
}
