package preview

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Result is what a preview found. Close it.
type Result struct {
	// Before and After are the numbers of products that the mapping returns. Differing have another state.
	Before, After, Differing int
	Statements               []Ran
	// Locks are the tables that were locked, for LockedFor at most.
	Locks     []Lock
	LockedFor time.Duration
	// Unseen are effects of the statements that the preview could not see, or that are not undone: a sentence each.
	Unseen []string

	changes *spool
	found   []found
}

// found is a product that is yielded.
type found struct {
	id      string
	place   place
	differs bool
}

// Close frees the temporary file.
func (r *Result) Close() { r.changes.close() }

// Each yields the products that differ, or all, in the order of their ids.
func (r *Result) Each(yield func(Change) error) error {
	for _, f := range r.found {
		record, err := r.changes.read(f.place)
		if err != nil {
			return err
		}
		states, err := decode(record)
		if err != nil {
			return err
		}
		if err := yield(Change{ProductID: f.id, Before: states[0], After: states[1], Differs: f.differs}); err != nil {
			return err
		}
	}
	return nil
}

// comparison compares the states before and after.
type comparison struct {
	cfg    Config
	before *spool
	index  index
	out    *Result
}

func newComparison(cfg Config) (*comparison, error) {
	before, err := newSpool()
	if err != nil {
		return nil, err
	}
	changes, err := newSpool()
	if err != nil {
		before.close()
		return nil, err
	}
	return &comparison{cfg: cfg, before: before, out: &Result{changes: changes}}, nil
}

func (c *comparison) readBefore(ctx context.Context, conn *pgx.Conn) error {
	r := &reading{cfg: c.cfg, phase: "before", archiveAfter: c.cfg.ArchiveAfterBefore}
	err := r.each(ctx, conn, c.cfg.Before, func(s State) error {
		record, err := encode(s)
		if err != nil {
			return err
		}
		at, err := c.before.add(record)
		c.index.entries = append(c.index.entries,
			entry{id: hashID(s.Change.GetProductId()), state: hashState(record), place: at})
		return err
	})
	c.index.sort()
	c.out.Before = len(c.index.entries)
	if err != nil {
		return fmt.Errorf("read the products before the change: %w", err)
	}
	return nil
}

func (c *comparison) readAfter(ctx context.Context, conn *pgx.Conn) error {
	r := &reading{cfg: c.cfg, phase: "after", expected: c.out.Before, archiveAfter: c.cfg.ArchiveAfter}
	err := r.each(ctx, conn, c.cfg.After, func(s State) error {
		c.out.After++
		return c.compare(s)
	})
	if err != nil {
		return fmt.Errorf("read the products after the change: %w", err)
	}
	for i := range c.index.entries {
		if e := &c.index.entries[i]; !e.seen {
			s, err := c.load(e)
			if err != nil {
				return err
			}
			if err := c.add(s, absent(s.Change.GetProductId()), true); err != nil {
				return err
			}
		}
	}
	slices.SortFunc(c.out.found, func(a, b found) int { return strings.Compare(a.id, b.id) })
	return nil
}

// compare compares a product with its state before.
func (c *comparison) compare(after State) error {
	record, err := encode(after)
	if err != nil {
		return err
	}
	id, hash := after.Change.GetProductId(), hashState(record)
	same := c.index.find(hashID(id))
	for i := range same {
		if same[i].state != hash {
			continue
		}
		same[i].seen = true
		if c.cfg.All {
			return c.add(after, after, false)
		}
		return nil
	}
	for i := range same {
		before, err := c.load(&same[i])
		if err != nil {
			return err
		}
		if before.Change.GetProductId() == id {
			same[i].seen = true
			return c.add(before, after, true)
		}
	}
	return c.add(absent(id), after, true)
}

func (c *comparison) load(e *entry) (State, error) {
	record, err := c.before.read(e.place)
	if err != nil {
		return State{}, err
	}
	states, err := decode(record)
	if err != nil {
		return State{}, err
	}
	return states[0], nil
}

func (c *comparison) add(before, after State, differs bool) error {
	record, err := encode(c.cfg.validated(before), c.cfg.validated(after))
	if err != nil {
		return err
	}
	at, err := c.out.changes.add(record)
	if err != nil {
		return err
	}
	if differs {
		c.out.Differing++
	}
	c.out.found = append(c.out.found, found{after.Change.GetProductId(), at, differs})
	return nil
}
