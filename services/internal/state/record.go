package state

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// Record is one key of a bucket. Put is for records with one writer, CompareAndPut for those with several. Safe for
// concurrent use.
type Record struct {
	m *mesh.Mesh
	// bucket and name identify the key.
	bucket, name string
}

// Record returns the record of an account under a key.
func (s *Stores) Record(key topology.Key, account string) *Record {
	return &Record{m: s.m, bucket: key.Bucket(), name: key.Name(account)}
}

// Halted returns the record of why an account is halted, in Stripe's words; "" if it is not halted. Push writes it.
func (s *Stores) Halted(account string) *Record { return s.Record(topology.KeyHalted, account) }

// CreationsHeld returns the record of why push creates nothing in an account; "" if it does. Push writes it.
func (s *Stores) CreationsHeld(account string) *Record {
	return s.Record(topology.KeyCreationsHeld, account)
}

// Guard returns the record of an account's mass-change guard, for GetAt and CompareAndPut.
func (s *Stores) Guard(account string) *Record { return s.Record(topology.KeyGuard, account) }

// Capture returns the record of how far an account's catalog is captured, a CaptureReport. Ingestion writes it.
func (s *Stores) Capture(account string) *Record { return s.Record(topology.KeyCapture, account) }

// History returns the record of the log that an account's versions rest on, a CatalogHistory. Ingestion writes it.
func (s *Stores) History(account string) *Record { return s.Record(topology.KeyHistory, account) }

// Usage returns the record of what uses prices in Stripe, a Usage. Pull writes it with CompareAndPut.
func (s *Stores) Usage(account string) *Record { return s.Record(topology.KeyUsage, account) }

// Budget returns the record of the call rates of an account, which all its processes share. It is in the bucket BUDGET.
func (s *Stores) Budget(account string) *Record { return s.Record(topology.KeyBudget, account) }

// GetString returns the value, "" if there is none.
func (r *Record) GetString(ctx context.Context) (string, error) {
	data, err := r.get(ctx)
	return string(data), err
}

// GetStringAt returns the value with its revision, for CompareAndPutString. It returns "" and 0 if there is none.
func (r *Record) GetStringAt(ctx context.Context) (value string, revision uint64, err error) {
	entry, err := r.m.Entry(ctx, r.bucket, r.name)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return "", 0, nil
	case err != nil:
		return "", 0, fmt.Errorf("read record %s: %w", r.name, err)
	}
	return string(entry.Value()), entry.Revision(), nil
}

// CompareAndPutString stores the value if the record still has the revision, and returns the new revision. Otherwise
// the error is ErrConflict. Revision 0 means that there must be no value.
func (r *Record) CompareAndPutString(ctx context.Context, value string, revision uint64) (uint64, error) {
	if revision == 0 {
		next, err := r.create(ctx, value)
		if errors.Is(err, jetstream.ErrKeyExists) {
			err = ErrConflict
		}
		if err != nil {
			return 0, fmt.Errorf("store record %s: %w", r.name, err)
		}
		return next, nil
	}
	msg := r.message([]byte(value))
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(revision, 10))
	return r.write(ctx, msg)
}

// create stores the first value, also after the key was deleted. It makes one attempt, since a key is created once.
func (r *Record) create(ctx context.Context, value string) (uint64, error) {
	kv, err := r.m.Bucket(ctx, r.bucket)
	if err != nil {
		return 0, err
	}
	return kv.Create(ctx, r.name, []byte(value))
}

// message returns the message that stores a value. The methods of a bucket are not used: their messages cannot be
// repeated.
func (r *Record) message(value []byte) *nats.Msg {
	return &nats.Msg{Subject: "$KV." + r.bucket + "." + r.name, Data: value, Header: nats.Header{}}
}

func (r *Record) write(ctx context.Context, msg *nats.Msg) (revision uint64, err error) {
	revision, err = r.m.BucketStream(r.bucket).Store(ctx, msg)
	switch {
	case mesh.IsConflict(err):
		return 0, fmt.Errorf("store record %s: %w", r.name, ErrConflict)
	case err != nil:
		return 0, fmt.Errorf("store record %s: %w", r.name, err)
	}
	return revision, nil
}

// BudgetBell returns the record through which the processes that share an account's rates signal that their live calls
// are starving.
func (s *Stores) BudgetBell(account string) *Record { return s.Record(topology.KeyBudgetBell, account) }

// GetAt decodes the value into a message and returns its revision, for CompareAndPut. It returns 0 if there is no
// value.
func (r *Record) GetAt(ctx context.Context, into proto.Message) (revision uint64, err error) {
	revision, _, err = r.GetWithTime(ctx, into)
	return revision, err
}

// CompareAndPut stores a message if the record still has the revision, and returns the new revision. Otherwise the
// error is ErrConflict.
func (r *Record) CompareAndPut(ctx context.Context, value proto.Message, revision uint64) (uint64, error) {
	data, err := proto.Marshal(value)
	if err != nil {
		return 0, fmt.Errorf("encode %s of bucket %s: %w", r.name, r.bucket, err)
	}
	return r.CompareAndPutString(ctx, string(data), revision)
}

// PutStringAt stores the value unconditionally and returns its revision.
func (r *Record) PutStringAt(ctx context.Context, value string) (revision uint64, err error) {
	return r.write(ctx, r.message([]byte(value)))
}

// PutString stores the value unconditionally.
func (r *Record) PutString(ctx context.Context, value string) error {
	return r.put(ctx, []byte(value))
}

// Get decodes the value into a message. ok is false if there is none.
func (r *Record) Get(ctx context.Context, into proto.Message) (ok bool, err error) {
	data, err := r.get(ctx)
	if err != nil || data == nil {
		return false, err
	}
	if err := proto.Unmarshal(data, into); err != nil {
		return false, fmt.Errorf("decode record %s: %w", r.name, err)
	}
	return true, nil
}

// GetWithTime is GetAt, and returns when the value was written, by the clock of the NATS server. A time that a process
// writes itself depends on the clock of its host. The time is zero if there is no value.
func (r *Record) GetWithTime(ctx context.Context, into proto.Message) (revision uint64, written time.Time, err error) {
	entry, err := r.m.Entry(ctx, r.bucket, r.name)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return 0, time.Time{}, nil
	case err != nil:
		return 0, time.Time{}, fmt.Errorf("read %s of bucket %s: %w", r.name, r.bucket, err)
	}
	if err := proto.Unmarshal(entry.Value(), into); err != nil {
		return 0, time.Time{}, fmt.Errorf("decode %s of bucket %s: %w", r.name, r.bucket, err)
	}
	return entry.Revision(), entry.Created(), nil
}

// Put stores a message unconditionally.
func (r *Record) Put(ctx context.Context, value proto.Message) error {
	data, err := proto.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode record %s: %w", r.name, err)
	}
	return r.put(ctx, data)
}

func (r *Record) get(ctx context.Context) ([]byte, error) {
	entry, err := r.m.Entry(ctx, r.bucket, r.name)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read record %s: %w", r.name, err)
	}
	return entry.Value(), nil
}

func (r *Record) put(ctx context.Context, data []byte) error {
	_, err := r.write(ctx, r.message(data))
	return err
}
