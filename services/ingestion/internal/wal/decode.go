package wal

import (
	"fmt"
	"slices"

	"github.com/jackc/pglogrepl"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// decoder makes chunks from the messages of pgoutput, protocol version 1. This version sends committed transactions
// only, one after another (https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html).
//
// The values of a row never fail decoding. A row that cannot be assigned to products makes its chunk uncertain.
type decoder struct {
	tables    []Table
	relations map[uint32]*relation

	// open is the chunk of the transaction that is being decoded, nil outside of transactions.
	open *Chunk
	// index has the positions of products in the open chunk, by their ids.
	index map[string]int
	// keptBytes is the size of the row images of the open chunk, in bytes.
	keptBytes int
}

// relation is a table as the log describes it. The description may be older than the table's current one.
type relation struct {
	name    string
	columns []string
	// isKey reports for each column whether it belongs to the replica identity. The log has only these columns of an
	// old row that is sent with its key only.
	isKey []bool
	// table is the index in tables, -1 if the table is not watched.
	table   int
	entries []resolvedEntry
	// problem is why the table's rows cannot be assigned to products, empty if they can.
	problem string
}

// resolvedEntry is an Entry with the positions of its columns in the relation.
type resolvedEntry struct {
	// product is -1 if the products are looked up by the values of columns.
	product int
	columns []int
}

func newDecoder(tables []Table) *decoder {
	return &decoder{tables: tables, relations: map[uint32]*relation{}}
}

// decode decodes one message, and returns a chunk if the message completes one. Malformed messages are errors,
// including those on which pglogrepl panics.
func (d *decoder) decode(data []byte) (chunk *Chunk, err error) {
	defer func() {
		if r := recover(); r != nil {
			chunk, err = nil, fmt.Errorf("decode the write-ahead log: malformed message: %v", r)
		}
	}()
	if err := checkLengths(data); err != nil {
		return nil, fmt.Errorf("decode the write-ahead log: %w", err)
	}
	// pglogrepl slices by the lengths in the message. Clip keeps a wrong length from reaching the bytes of other
	// messages behind it.
	msg, err := pglogrepl.Parse(slices.Clip(data))
	if err != nil {
		return nil, fmt.Errorf("decode the write-ahead log: %w", err)
	}
	switch m := msg.(type) {
	case *pglogrepl.RelationMessage:
		d.relation(m)
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
		return d.row(m.RelationID, change{op: catalogv1.RowOperation_ROW_OPERATION_INSERT, after: m.Tuple})
	case *pglogrepl.UpdateMessage:
		return d.row(m.RelationID, change{
			op: catalogv1.RowOperation_ROW_OPERATION_UPDATE, before: m.OldTuple, after: m.NewTuple,
			keyOnly: m.OldTupleType == pglogrepl.UpdateMessageTupleTypeKey,
		})
	case *pglogrepl.DeleteMessage:
		return d.row(m.RelationID, change{
			op: catalogv1.RowOperation_ROW_OPERATION_DELETE, before: m.OldTuple,
			keyOnly: m.OldTupleType == pglogrepl.DeleteMessageTupleTypeKey,
		})
	case *pglogrepl.TruncateMessage:
		d.truncate(m)
	case *pglogrepl.LogicalDecodingMessage:
		d.message(m)
	}
	return nil, nil
}

const (
	// maxMark is the maximum size of a logical message in bytes. A trace context has 55 bytes, the mark of a barrier
	// 22, and the name of an actor at most 900.
	maxMark = 1024
	// maxBarriers is the maximum number of barriers in a chunk. A transaction of Driftless has one.
	maxBarriers = 100
)

// message records what a logical message says about the open transaction. It ignores other messages. Everyone who may
// log in may write one of any size, and a copy is kept until the transaction is captured, so sizes are bounded.
func (d *decoder) message(m *pglogrepl.LogicalDecodingMessage) {
	// A message outside of transactions comes without a begin, and Driftless writes none.
	if d.open == nil || !m.Transactional || len(m.Content) > maxMark {
		return
	}
	switch m.Prefix {
	case TraceparentPrefix:
		d.open.Traceparent = string(m.Content)
	case ActorPrefix:
		d.open.Actor = cleanActor(m.Content)
	case OwnPrefix:
		d.open.IsOwn = true
	case BarrierPrefix:
		if len(d.open.Barriers) == maxBarriers {
			return
		}
		d.open.Barriers = append(d.open.Barriers, string(m.Content))
	}
}

func (d *decoder) begin(c *Chunk) {
	d.open, d.index, d.keptBytes = c, map[string]int{}, 0
}

// uncertain notes that the open transaction may concern products that it does not name.
func (d *decoder) uncertain(reason string) {
	if d.open != nil && !slices.Contains(d.open.Uncertain, reason) {
		d.open.Uncertain = append(d.open.Uncertain, reason)
	}
}

func (d *decoder) truncate(m *pglogrepl.TruncateMessage) {
	for _, id := range m.RelationIDs {
		name := fmt.Sprintf("with OID %d", id)
		if r := d.relations[id]; r != nil {
			name = r.name
		}
		d.uncertain("table " + name + " was truncated")
	}
}

// relation stores the description of a table. It comes before the first row, and again after each change of the table.
// A record from before the change describes the table as it was then: without a column that it has today, or with
// another OID.
func (d *decoder) relation(m *pglogrepl.RelationMessage) {
	r := &relation{name: m.Namespace + "." + m.RelationName, table: -1}
	for _, c := range m.Columns {
		r.columns = append(r.columns, c.Name)
		r.isKey = append(r.isKey, c.Flags&1 != 0)
	}
	d.relations[m.RelationID] = r
	r.table = slices.IndexFunc(d.tables, func(t Table) bool {
		return t.OID == m.RelationID || slices.Contains(t.Children, m.RelationID)
	})
	if r.table < 0 {
		if slices.ContainsFunc(d.tables, func(t Table) bool { return t.Plain == r.name }) {
			r.problem = "the log has rows of a table that had the name " + r.name + " before"
		}
		return
	}
	t := d.tables[r.table]
	for _, c := range t.Columns {
		if !slices.Contains(r.columns, c) {
			r.problem = fmt.Sprintf("the log has rows of %s from before it had column %s", t.Name, c)
			return
		}
	}
	for _, e := range t.Entries {
		x := resolvedEntry{product: slices.Index(r.columns, e.Product)}
		for _, c := range e.Columns {
			x.columns = append(x.columns, slices.Index(r.columns, c))
		}
		r.entries = append(r.entries, x)
	}
}

// change is a change of a row.
type change struct {
	op            catalogv1.RowOperation
	before, after *pglogrepl.TupleData
	// keyOnly reports whether before has only the columns of the replica identity.
	keyOnly bool
}

// row adds a changed row to the products that it concerns and to those that it concerned before. It returns the open
// chunk if that is full, and opens another one for the rest of the transaction.
func (d *decoder) row(id uint32, c change) (*Chunk, error) {
	if d.open == nil {
		return nil, fmt.Errorf("decode the write-ahead log: a row of relation %d outside of a transaction", id)
	}
	r := d.relations[id]
	switch {
	case r == nil:
		d.uncertain(fmt.Sprintf("the log has rows of a table with OID %d that it does not describe", id))
		return nil, nil
	case r.problem != "":
		d.uncertain(r.problem)
		return nil, nil
	case r.table < 0:
		d.open.Unwatched = r.name
		return nil, nil
	}
	t := d.tables[r.table]
	if t.Narrow && c.op != catalogv1.RowOperation_ROW_OPERATION_INSERT {
		d.uncertain(fmt.Sprintf(
			"a row of %s changed, and the replica identity of a partition of it does not say which products it concerned",
			t.Name))
	}
	image := d.image(r, c)
	for i, e := range r.entries {
		if e.product >= 0 {
			d.addNamed(r, e.product, c, image)
		} else {
			d.addLookups(r, i, c, image)
		}
	}
	if len(d.open.Products)+len(d.open.Lookups) < maxChunkProducts {
		return nil, nil
	}
	full := d.open
	d.begin(&Chunk{
		Xid:         full.Xid,
		CommitLSN:   full.CommitLSN,
		CommittedAt: full.CommittedAt,
		Traceparent: full.Traceparent,
		Actor:       full.Actor,
		IsOwn:       full.IsOwn,
	})
	return full, nil
}

// addNamed adds a row to the products that a column names.
func (d *decoder) addNamed(r *relation, column int, c change, image *catalogv1.RowImage) {
	old, current := d.oldAndNew(r, column, c)
	if current != nil {
		d.addProduct(*current, image)
	}
	if old != nil && (current == nil || *old != *current) {
		d.addProduct(*old, image)
	}
}

// oldAndNew returns a column of the old and of the new row. It is nil for NULL, and for a row that the change does not
// have. A value that the log lacks makes the chunk uncertain.
//
// Postgres omits the old row of an UPDATE that left the replica identity as it was. So a column of the identity did not
// change, and any other column may have. Inspect refuses such a column, but a child of the table may have a narrower
// identity, and the table may have had one when the row was written.
func (d *decoder) oldAndNew(r *relation, column int, c change) (old, current *string) {
	old, hadOld := value(r, column, c.before, c.keyOnly)
	current, hasCurrent := value(r, column, c.after, false)
	if c.after != nil && !hasCurrent {
		// The log omits a long value that did not change (TOAST), but the old row has it.
		if current, hasCurrent = old, hadOld; !hasCurrent {
			d.uncertain(fmt.Sprintf("the log does not have %s of a changed row of %s", r.columns[column], r.name))
		}
	}
	isOmitted := c.op == catalogv1.RowOperation_ROW_OPERATION_UPDATE && c.before == nil
	if c.before != nil && !hadOld || isOmitted && !r.isKey[column] {
		d.uncertain(fmt.Sprintf("the log does not have %s of the old row of %s", r.columns[column], r.name))
	}
	return old, current
}

// addLookups adds lookups of the products of the old and of the new row.
func (d *decoder) addLookups(r *relation, entry int, c change, image *catalogv1.RowImage) {
	var old, current []*string
	for _, column := range r.entries[entry].columns {
		before, after := d.oldAndNew(r, column, c)
		old, current = append(old, before), append(current, after)
	}
	if c.after != nil {
		d.open.Lookups = append(d.open.Lookups, Lookup{Table: r.table, Entry: entry, Values: current, Image: image})
	}
	if c.before != nil && (c.after == nil || !slices.EqualFunc(old, current, equal)) {
		d.open.Lookups = append(d.open.Lookups, Lookup{Table: r.table, Entry: entry, Values: old, Image: image})
	}
}

func equal(a, b *string) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }

func (d *decoder) addProduct(product string, image *catalogv1.RowImage) {
	i, ok := d.index[product]
	if !ok {
		i = len(d.open.Products)
		d.index[product] = i
		d.open.Products = append(d.open.Products, TouchedProduct{ID: product})
	}
	if t := &d.open.Products[i]; len(t.Rows) < maxImagesPerProduct {
		t.Rows = append(t.Rows, image)
	}
}

// value returns a column of a row as text, nil for NULL. ok is false if the log does not have it.
func value(r *relation, column int, tuple *pglogrepl.TupleData, keyOnly bool) (text *string, ok bool) {
	if tuple == nil || column < 0 || column >= len(tuple.Columns) {
		return nil, false
	}
	switch c := tuple.Columns[column]; c.DataType {
	case pglogrepl.TupleDataTypeText:
		return new(string(c.Data)), true
	case pglogrepl.TupleDataTypeNull:
		// If the log has only the key of an old row, it sends every other column as NULL.
		return nil, !keyOnly || r.isKey[column]
	default:
		return nil, false
	}
}
