package wal

import (
	"bytes"
	"fmt"

	"github.com/jackc/pglogrepl"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// decoder makes chunks of the messages of pgoutput, protocol version 1: only committed transactions come, one after
// another (https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html).
type decoder struct {
	// productColumn by "schema.table".
	productColumn map[string]string
	relations     map[uint32]relation

	open  *Chunk
	index map[string]int
}

type relation struct {
	name    string
	columns []string
	product int
}

func newDecoder(columns map[string]string) *decoder {
	return &decoder{productColumn: columns, relations: map[uint32]relation{}}
}

// decode takes one message and returns a chunk if it completes one.
func (d *decoder) decode(data []byte) (*Chunk, error) {
	msg, err := pglogrepl.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("decode the write-ahead log: %w", err)
	}
	switch m := msg.(type) {
	case *pglogrepl.RelationMessage:
		return nil, d.relation(m)
	case *pglogrepl.BeginMessage:
		d.begin(&Chunk{Xid: m.Xid, CommitLSN: m.FinalLSN, CommittedAt: m.CommitTime})
	case *pglogrepl.CommitMessage:
		chunk := d.open
		d.open = nil
		if chunk == nil {
			return nil, fmt.Errorf("decode the write-ahead log: a commit at %s without its begin", m.CommitLSN)
		}
		chunk.EndLSN = m.TransactionEndLSN
		return chunk, nil
	case *pglogrepl.InsertMessage:
		return d.row(m.RelationID, catalogv1.RowOperation_ROW_OPERATION_INSERT, nil, m.Tuple)
	case *pglogrepl.UpdateMessage:
		return d.row(m.RelationID, catalogv1.RowOperation_ROW_OPERATION_UPDATE, m.OldTuple, m.NewTuple)
	case *pglogrepl.DeleteMessage:
		return d.row(m.RelationID, catalogv1.RowOperation_ROW_OPERATION_DELETE, m.OldTuple, nil)
	case *pglogrepl.TruncateMessage:
		if d.open != nil {
			d.open.Truncated = true
		}
	case *pglogrepl.LogicalDecodingMessage:
		// Messages outside transactions come without a begin and are nobody's here.
		if d.open == nil || !m.Transactional {
			return nil, nil
		}
		switch m.Prefix {
		case TraceparentPrefix:
			d.open.Traceparent = string(m.Content)
		case BarrierPrefix:
			d.open.Barriers = append(d.open.Barriers, string(m.Content))
		}
	}
	return nil, nil
}

func (d *decoder) begin(c *Chunk) {
	d.open, d.index = c, map[string]int{}
}

func (d *decoder) relation(m *pglogrepl.RelationMessage) error {
	r := relation{name: m.Namespace + "." + m.RelationName, product: -1}
	column, watched := d.productColumn[r.name]
	for i, c := range m.Columns {
		r.columns = append(r.columns, c.Name)
		if c.Name == column {
			r.product = i
		}
	}
	if watched && r.product < 0 {
		return fmt.Errorf("watched table %s no longer has column %s: mend product_id under catalog.watch in the configuration", r.name, column)
	}
	d.relations[m.RelationID] = r
	return nil
}

// row notes a changed row under the product it belongs to, and under the one it belonged to before.
func (d *decoder) row(id uint32, op catalogv1.RowOperation, before, after *pglogrepl.TupleData) (*Chunk, error) {
	r, ok := d.relations[id]
	if !ok || d.open == nil {
		return nil, fmt.Errorf("decode the write-ahead log: a row of unknown relation %d", id)
	}
	if r.product < 0 {
		return nil, nil
	}
	image := rowImage(r, op, before, after)
	old, hadOld := product(r, before)
	current, hasCurrent := product(r, after)
	if !hasCurrent && hadOld && op == catalogv1.RowOperation_ROW_OPERATION_UPDATE {
		current, hasCurrent = old, true
	}
	if hasCurrent {
		d.touch(current, image)
	}
	if hadOld && (!hasCurrent || old != current) {
		d.touch(old, image)
	}
	if len(d.open.Products) < chunkProducts {
		return nil, nil
	}
	full := d.open
	d.begin(&Chunk{Xid: full.Xid, CommitLSN: full.CommitLSN, CommittedAt: full.CommittedAt, Traceparent: full.Traceparent})
	return full, nil
}

func (d *decoder) touch(product string, image *catalogv1.RowImage) {
	i, ok := d.index[product]
	if !ok {
		i = len(d.open.Products)
		d.index[product] = i
		d.open.Products = append(d.open.Products, Touched{ID: product})
	}
	if t := &d.open.Products[i]; len(t.Rows) < imagesPerProduct {
		t.Rows = append(t.Rows, image)
	}
}

// product reads the id of the product that a row is about. A row whose column is NULL is about none.
func product(r relation, tuple *pglogrepl.TupleData) (string, bool) {
	if tuple == nil || r.product >= len(tuple.Columns) {
		return "", false
	}
	c := tuple.Columns[r.product]
	return string(c.Data), c.DataType == pglogrepl.TupleDataTypeText
}

// rowImage keeps what tells the change: of an update whose old row the log has, the columns that changed.
func rowImage(r relation, op catalogv1.RowOperation, before, after *pglogrepl.TupleData) *catalogv1.RowImage {
	image := &catalogv1.RowImage{Table: r.name, Operation: op}
	changed := func(int) bool { return true }
	if before != nil && after != nil && len(before.Columns) == len(after.Columns) {
		changed = func(i int) bool {
			b, a := before.Columns[i], after.Columns[i]
			return i == r.product || a.DataType != pglogrepl.TupleDataTypeToast && (b.DataType != a.DataType || !bytes.Equal(b.Data, a.Data))
		}
	}
	if before != nil {
		image.OldValues = values(r, before, changed, nil)
	}
	if after != nil {
		image.NewValues = values(r, after, changed, image)
	}
	return image
}

func values(r relation, tuple *pglogrepl.TupleData, wanted func(column int) bool, image *catalogv1.RowImage) map[string]string {
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
