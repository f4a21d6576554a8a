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

// Record is one key of a bucket. Put is for records with one writer, CompareAndPut for those with several. Safe for
// concurrent use.
type Record struct {
	m *Mesh
	// bucket and name identify the key.
	bucket, name string
}

// Record returns the record of an account under a key.
func (m *Mesh) Record(key topology.Key, account string) *Record {
	return &Record{m: m, bucket: key.Bucket(), name: key.Name(account)}
}

// Halted returns the record of why an account is halted, in Stripe's words; "" if it is not halted. Push writes it.
func (m *Mesh) Halted(account string) *Record { return m.Record(topology.KeyHalted, account) }

// CreationsHeld returns the record of why push creates nothing in an account; "" if it does. Push writes it.
func (m *Mesh) CreationsHeld(account string) *Record {
	return m.Record(topology.KeyCreationsHeld, account)
}

// Guard returns the record of an account's mass-change guard, for GetAt and CompareAndPut.
func (m *Mesh) Guard(account string) *Record { return m.Record(topology.KeyGuard, account) }

// Capture returns the record of how far an account's catalog is captured, a CaptureReport. Ingestion writes it.
func (m *Mesh) Capture(account string) *Record { return m.Record(topology.KeyCapture, account) }

// History returns the record of the log that an account's versions rest on, a CatalogHistory. Ingestion writes it.
func (m *Mesh) History(account string) *Record { return m.Record(topology.KeyHistory, account) }

// Budget returns the record of the call rates of an account, which all its processes share. It is in the bucket BUDGET.
func (m *Mesh) Budget(account string) *Record { return m.Record(topology.KeyBudget, account) }

// GetString returns the value, "" if there is none.
func (c *Record) GetString(ctx context.Context) (string, error) {
	data, err := c.get(ctx)
	return string(data), err
}

// GetStringAt returns the value with its revision, for CompareAndPutString. It returns "" and 0 if there is none.
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
		return "", 0, fmt.Errorf("read record %s: %w", c.name, err)
	}
	return string(entry.Value()), entry.Revision(), nil
}

// CompareAndPutString stores the value if the record still has the revision, and returns the new revision. Otherwise
// the error is ErrConflict. Revision 0 means that there must be no value.
func (c *Record) CompareAndPutString(ctx context.Context, position string, revision uint64) (uint64, error) {
	if revision == 0 {
		next, err := c.create(ctx, position)
		if errors.Is(err, jetstream.ErrKeyExists) {
			err = ErrConflict
		}
		if err != nil {
			return 0, fmt.Errorf("store record %s: %w", c.name, err)
		}
		return next, nil
	}
	msg := c.message([]byte(position))
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(revision, 10))
	return c.write(ctx, msg)
}

// create stores the first value, also after the key was deleted. It makes one attempt, since a key is created once.
func (c *Record) create(ctx context.Context, position string) (uint64, error) {
	kv, err := c.m.bucket(ctx, c.bucket)
	if err != nil {
		return 0, err
	}
	return kv.Create(ctx, c.name, []byte(position))
}

// message returns the message that stores a value. The methods of a bucket are not used: their messages cannot be
// repeated.
func (c *Record) message(position []byte) *nats.Msg {
	return &nats.Msg{Subject: "$KV." + c.bucket + "." + c.name, Data: position, Header: nats.Header{}}
}

func (c *Record) write(ctx context.Context, msg *nats.Msg) (revision uint64, err error) {
	repeatable(msg)
	s := c.m.storeIn(ctx, "KV_"+c.bucket, msg, false)
	switch {
	case isWrongSequence(s.err):
		return 0, fmt.Errorf("store record %s: %w", c.name, ErrConflict)
	case s.err != nil:
		return 0, fmt.Errorf("store record %s: %w", c.name, s.err)
	}
	return s.sequence, nil
}

// BudgetBell returns the record through which the processes that share an account's rates signal that their live calls
// are starving.
func (m *Mesh) BudgetBell(account string) *Record { return m.Record(topology.KeyBudgetBell, account) }

// GetAt decodes the value into a message and returns its revision, for CompareAndPut. It returns 0 if there is no
// value.
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

// CompareAndPut stores a message if the record still has the revision, and returns the new revision. Otherwise the
// error is ErrConflict.
func (c *Record) CompareAndPut(ctx context.Context, position proto.Message, revision uint64) (uint64, error) {
	data, err := proto.Marshal(position)
	if err != nil {
		return 0, fmt.Errorf("encode %s of bucket %s: %w", c.name, c.bucket, err)
	}
	return c.CompareAndPutString(ctx, string(data), revision)
}

// PutStringAt stores the value unconditionally and returns its revision.
func (c *Record) PutStringAt(ctx context.Context, position string) (revision uint64, err error) {
	return c.write(ctx, c.message([]byte(position)))
}

// PutString stores the value unconditionally.
func (c *Record) PutString(ctx context.Context, position string) error {
	return c.put(ctx, []byte(position))
}

// Get decodes the value into a message. ok is false if there is none.
func (c *Record) Get(ctx context.Context, into proto.Message) (ok bool, err error) {
	data, err := c.get(ctx)
	if err != nil || data == nil {
		return false, err
	}
	if err := proto.Unmarshal(data, into); err != nil {
		return false, fmt.Errorf("decode record %s: %w", c.name, err)
	}
	return true, nil
}

// GetWithTime is Get, and returns when the value was written, by the clock of the NATS server. A time that a process
// writes itself depends on the clock of its host. The time is zero if there is no value.
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
		return time.Time{}, fmt.Errorf("read record %s: %w", c.name, err)
	}
	if err := proto.Unmarshal(entry.Value(), into); err != nil {
		return time.Time{}, fmt.Errorf("decode record %s: %w", c.name, err)
	}
	return entry.Created(), nil
}

// Put stores a message unconditionally.
func (c *Record) Put(ctx context.Context, position proto.Message) error {
	data, err := proto.Marshal(position)
	if err != nil {
		return fmt.Errorf("encode record %s: %w", c.name, err)
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
		return nil, fmt.Errorf("read record %s: %w", c.name, err)
	}
	return entry.Value(), nil
}

func (c *Record) put(ctx context.Context, data []byte) error {
	_, err := c.write(ctx, c.message(data))
	return err
}
