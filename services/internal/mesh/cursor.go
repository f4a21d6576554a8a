package mesh

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/driftless-sync/driftless/services/internal/topology"
)

// ErrMoved: somebody else has put a position since it was read.
var ErrMoved = errors.New("the cursor was moved meanwhile")

// Record is a named position in the bucket CURSOR. Put is for cursors of which one goroutine at a time is the writer,
// Move for those with several.
type Record struct {
	m            *Mesh
	bucket, name string
}

// Record names a position; the name holds letters, digits, "-", "_" and ".".
func (m *Mesh) Record(name string) *Record { return &Record{m, topology.BucketCursor, name} }

// Halted is why an account is halted, in Stripe's words; "" if it is not. Push writes it.
func (m *Mesh) Halted(account string) *Record { return m.Record("halted." + account) }

// CreationsHeld is why push creates nothing in an account; "" if it does. Push writes it.
func (m *Mesh) CreationsHeld(account string) *Record { return m.Record("creations-held." + account) }

// Guard is the record of the mass-change guard of an account, for Load and Store.
func (m *Mesh) Guard(account string) *Record { return m.Record("guard." + account) }

// Capture is how far the catalog of an account is captured: a CaptureReport. Ingestion writes it.
func (m *Mesh) Capture(account string) *Record { return m.Record("capture." + account) }

// History is what the versions of an account rest on: a CatalogHistory. Ingestion writes it.
func (m *Mesh) History(account string) *Record { return m.Record("history." + account) }

// Budget is what the processes that call Stripe share of an account's rates, in the bucket BUDGET.
func (m *Mesh) Budget(account string) *Record { return &Record{m, topology.BucketBudget, account} }

// GetString returns the position, "" if it was never put.
func (c *Record) GetString(ctx context.Context) (string, error) {
	data, err := c.get(ctx)
	return string(data), err
}

// GetStringAt returns the position with its revision, for Move; "" and 0 if it was never put.
func (c *Record) GetStringAt(ctx context.Context) (position string, revision uint64, err error) {
	kv, err := c.m.bucket(ctx, c.bucket)
	if err != nil {
		return "", 0, err
	}
	entry, err := c.m.entryOf(ctx, kv, c.name)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return "", 0, nil
	case err != nil:
		return "", 0, fmt.Errorf("read cursor %s: %w", c.name, err)
	}
	return string(entry.Value()), entry.Revision(), nil
}

// CompareAndPutString stores the position if the cursor still has the revision, and returns the new one; ErrMoved if it
// has not.
func (c *Record) CompareAndPutString(ctx context.Context, position string, revision uint64) (uint64, error) {
	if revision == 0 {
		next, err := c.create(ctx, position)
		if errors.Is(err, jetstream.ErrKeyExists) {
			err = ErrMoved
		}
		if err != nil {
			return 0, fmt.Errorf("store cursor %s: %w", c.name, err)
		}
		return next, nil
	}
	msg := c.message([]byte(position))
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(revision, 10))
	return c.write(ctx, msg)
}

// create stores the first position, also in place of a key that was deleted. It is not repeated: positions are created
// once.
func (c *Record) create(ctx context.Context, position string) (uint64, error) {
	kv, err := c.m.bucket(ctx, c.bucket)
	if err != nil {
		return 0, err
	}
	return kv.Create(ctx, c.name, []byte(position))
}

// message is what stores a position. Not by the methods of a bucket: a message of theirs cannot be repeated.
func (c *Record) message(position []byte) *nats.Msg {
	return &nats.Msg{Subject: "$KV." + c.bucket + "." + c.name, Data: position, Header: nats.Header{}}
}

func (c *Record) write(ctx context.Context, msg *nats.Msg) (revision uint64, err error) {
	repeatable(msg)
	s := c.m.storeIn(ctx, "KV_"+c.bucket, msg, false)
	switch {
	case isWrongSequence(s.err):
		return 0, fmt.Errorf("store cursor %s: %w", c.name, ErrMoved)
	case s.err != nil:
		return 0, fmt.Errorf("store cursor %s: %w", c.name, s.err)
	}
	return s.sequence, nil
}

// BudgetBell is by which the processes that share an account's rates say that live calls wait in vain.
func (m *Mesh) BudgetBell(account string) *Record {
	return &Record{m, topology.BucketBudget, account + ".bell"}
}

// GetAt decodes the position into a message and returns its revision, for Store; 0 if it was never put.
func (c *Record) GetAt(ctx context.Context, into proto.Message) (revision uint64, err error) {
	kv, err := c.m.bucket(ctx, c.bucket)
	if err != nil {
		return 0, err
	}
	entry, err := c.m.entryOf(ctx, kv, c.name)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("read %s of bucket %s: %w", c.name, c.bucket, err)
	}
	if err := proto.Unmarshal(entry.Value(), into); err != nil {
		return 0, fmt.Errorf("decode %s of bucket %s: %w", c.name, c.bucket, err)
	}
	return entry.Revision(), nil
}

// CompareAndPut stores a message if the cursor still has the revision, and returns the new one; ErrMoved if it has not.
func (c *Record) CompareAndPut(ctx context.Context, position proto.Message, revision uint64) (uint64, error) {
	data, err := proto.Marshal(position)
	if err != nil {
		return 0, fmt.Errorf("encode %s of bucket %s: %w", c.name, c.bucket, err)
	}
	return c.CompareAndPutString(ctx, string(data), revision)
}

// PutStringAt stores the position whatever it was, and returns its revision.
func (c *Record) PutStringAt(ctx context.Context, position string) (revision uint64, err error) {
	return c.write(ctx, c.message([]byte(position)))
}

// PutString stores the position.
func (c *Record) PutString(ctx context.Context, position string) error {
	return c.put(ctx, []byte(position))
}

// Get decodes the position into a message; ok is false if it was never put.
func (c *Record) Get(ctx context.Context, into proto.Message) (ok bool, err error) {
	data, err := c.get(ctx)
	if err != nil || data == nil {
		return false, err
	}
	if err := proto.Unmarshal(data, into); err != nil {
		return false, fmt.Errorf("decode cursor %s: %w", c.name, err)
	}
	return true, nil
}

// GetWithTime is Get, and tells when the position was put, by the NATS server's clock: what a process says of its own
// time depends on the clock of its host. It is zero if the position was never put.
func (c *Record) GetWithTime(ctx context.Context, into proto.Message) (written time.Time, err error) {
	kv, err := c.m.bucket(ctx, c.bucket)
	if err != nil {
		return time.Time{}, err
	}
	entry, err := kv.Get(ctx, c.name)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, fmt.Errorf("read cursor %s: %w", c.name, err)
	}
	if err := proto.Unmarshal(entry.Value(), into); err != nil {
		return time.Time{}, fmt.Errorf("decode cursor %s: %w", c.name, err)
	}
	return entry.Created(), nil
}

// Put stores the position.
func (c *Record) Put(ctx context.Context, position proto.Message) error {
	data, err := proto.Marshal(position)
	if err != nil {
		return fmt.Errorf("encode cursor %s: %w", c.name, err)
	}
	return c.put(ctx, data)
}

func (c *Record) get(ctx context.Context) ([]byte, error) {
	kv, err := c.m.bucket(ctx, c.bucket)
	if err != nil {
		return nil, err
	}
	entry, err := c.m.entryOf(ctx, kv, c.name)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read cursor %s: %w", c.name, err)
	}
	return entry.Value(), nil
}

func (c *Record) put(ctx context.Context, data []byte) error {
	_, err := c.write(ctx, c.message(data))
	return err
}
