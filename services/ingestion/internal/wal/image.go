package wal

import (
	"bytes"

	"github.com/jackc/pglogrepl"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// maxImageBytes bounds the values of rows that a chunk keeps. They are for the audit trail. The published state is read
// from the tables.
const maxImageBytes = 16 << 20

// image returns a changed row for the audit trail. It omits the values if those of the chunk take too much memory.
func (d *decoder) image(r *relation, c change) *catalogv1.RowImage {
	size := 0
	for _, tuple := range []*pglogrepl.TupleData{c.before, c.after} {
		if tuple != nil {
			for _, column := range tuple.Columns {
				size += len(column.Data)
			}
		}
	}
	if d.keptBytes += size; d.keptBytes > maxImageBytes {
		d.keptBytes -= size
		return &catalogv1.RowImage{Table: r.name, Operation: c.op}
	}
	return rowImage(r, c)
}

// rowImage returns the values that show the change. For an update whose old row the log has, these are the changed
// columns and those that name products.
func rowImage(r *relation, c change) *catalogv1.RowImage {
	image := &catalogv1.RowImage{Table: r.name, Operation: c.op}
	changed := func(int) bool { return true }
	if c.before != nil && c.after != nil && len(c.before.Columns) == len(c.after.Columns) {
		changed = func(i int) bool {
			b, a := c.before.Columns[i], c.after.Columns[i]
			return r.namesProduct(i) ||
				a.DataType != pglogrepl.TupleDataTypeToast && (b.DataType != a.DataType || !bytes.Equal(b.Data, a.Data))
		}
	}
	if c.before != nil {
		image.OldValues = values(r, c.before, changed, nil)
	}
	if c.after != nil {
		image.NewValues = values(r, c.after, changed, image)
	}
	return image
}

// namesProduct reports whether a column has the id of a product.
func (r *relation) namesProduct(column int) bool {
	for _, e := range r.entries {
		if e.product == column {
			return true
		}
	}
	return false
}

func values(r *relation, tuple *pglogrepl.TupleData, wanted func(column int) bool,
	image *catalogv1.RowImage,
) map[string]string {
	out := map[string]string{}
	for i, c := range tuple.Columns {
		if i >= len(r.columns) {
			break
		}
		if !wanted(i) {
			continue
		}
		switch c.DataType {
		case pglogrepl.TupleDataTypeText:
			out[r.columns[i]] = string(c.Data)
		case pglogrepl.TupleDataTypeNull:
			if image != nil {
				image.NullColumns = append(image.NullColumns, r.columns[i])
			}
		case pglogrepl.TupleDataTypeToast:
			if image != nil {
				image.UnchangedColumns = append(image.UnchangedColumns, r.columns[i])
			}
		}
	}
	return out
}
