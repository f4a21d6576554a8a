package ledger

// SetMaxFound makes searches wide that match more products.
func (l *Ledger) SetMaxFound(n int) { l.search.max = n }
