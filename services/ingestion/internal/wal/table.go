package wal

import catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"

// Table is a watched table, with what the log must have of its rows.
type Table struct {
	// OID in pg_class.
	OID uint32
	// Name with its schema, each quoted where SQL needs it. Plain is the same without quotes, as the log has it.
	Name, Plain string
	// Children are the tables that inherit from a table that is not partitioned. The log names them by their own OIDs.
	Children []uint32
	// Entries are the ways in which a row of the table concerns products.
	Entries []Entry
	// Filter is a condition on the rows that Postgres sends, empty for none.
	Filter string
	// Columns are the columns that the entries use. The log must have them of an old row too.
	Columns []string
	// Narrow reports whether the log may lack those columns of an old row, because the replica identity of a partition
	// lacks them. Each change of such a table is uncertain.
	Narrow bool
	// harmful reports whether the application's own changes fail while the table is published.
	harmful bool
}

// Entry is one way in which a row concerns products.
type Entry struct {
	// Product is the column with the product's id. It is empty if the products are looked up by the values of Columns.
	Product string
	Columns []string
}

// Lookup is a row, before or after its change, whose products must be looked up.
type Lookup struct {
	// Table and Entry are indices into Source.Tables and its Entries.
	Table, Entry int
	// Values of the entry's columns as text, nil for NULL.
	Values []*string
	Image  *catalogv1.RowImage
}
