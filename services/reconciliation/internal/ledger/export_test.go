package ledger

// SetMaxFound makes searches wide that match more products.
func (l *Ledger) SetMaxFound(n int) { l.search.max = n }

// With returns a ledger with another configuration and the connections of l, which close with l. To open a connection
// takes longer than a run of a property test.
func (l *Ledger) With(cfg Config) *Ledger { return newLedger(l.pool, cfg) }
