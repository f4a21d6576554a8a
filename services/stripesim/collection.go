package stripesim

import (
	"slices"
	"sort"
)

// collection keeps objects in the order of their creation. Its objects are never modified, only replaced, so a reader
// may keep one after it releases the account's lock.
type collection[T any] struct {
	at    map[string]int
	items []*T // nil where an object was deleted
	// tombstones are the places of deleted objects. The cursor of a list may still name one.
	tombstones map[string]int
	// latest is the latest second of creation. disordered means that an object was appended after a later one, because
	// the clock was set back.
	latest     int64
	disordered bool
}

// dated is an object with the second of its creation.
type dated interface{ second() int64 }

func (p *product) second() int64 { return p.Created }
func (p *price) second() int64   { return p.Created }
func (e *event) second() int64   { return e.Created }

// since returns the place of the first object created in or after a second. ok is false if the order of creation does
// not determine it.
func (c *collection[T]) since(second int64) (place int, ok bool) {
	if c.disordered {
		return 0, false
	}
	return sort.Search(len(c.items), func(i int) bool {
		for ; i < len(c.items); i++ {
			if c.items[i] != nil {
				d, isDated := any(c.items[i]).(dated)
				return !isDated || d.second() >= second
			}
		}
		return true
	}), true
}

func (c *collection[T]) get(id string) *T {
	if i, ok := c.at[id]; ok {
		return c.items[i]
	}
	return nil
}

func (c *collection[T]) put(id string, v *T) {
	if i, ok := c.at[id]; ok {
		c.items[i] = v
		return
	}
	if c.at == nil {
		c.at, c.tombstones = map[string]int{}, map[string]int{}
	}
	delete(c.tombstones, id)
	if d, ok := any(v).(dated); ok && v != nil {
		c.disordered = c.disordered || d.second() < c.latest
		c.latest = max(c.latest, d.second())
	}
	c.at[id] = len(c.items)
	c.items = append(c.items, v)
}

func (c *collection[T]) remove(id string) {
	i, ok := c.at[id]
	if !ok {
		return
	}
	c.items[i] = nil
	delete(c.at, id)
	c.tombstones[id] = i
}

// addTombstone records that an object with this id existed.
func (c *collection[T]) addTombstone(id string) {
	c.put(id, nil)
	c.remove(id)
}

func (c *collection[T]) wasDeleted(id string) bool {
	_, ok := c.tombstones[id]
	return ok
}

// place returns the place of an object in the order of creation, even if it was deleted.
func (c *collection[T]) place(id string) (int, bool) {
	if i, ok := c.at[id]; ok {
		return i, true
	}
	i, ok := c.tombstones[id]
	return i, ok
}

func (c *collection[T]) len() int { return len(c.at) }

// places returns the places of the ids that exist, oldest first.
func (c *collection[T]) places(ids []string) []int {
	out := make([]int, 0, len(ids))
	for _, id := range ids {
		if i, ok := c.at[id]; ok {
			out = append(out, i)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
