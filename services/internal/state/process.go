package state

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// PutProcess stores what a process says about itself, with the time of the NATS server.
func (s *Stores) PutProcess(ctx context.Context, p *meshv1.Process) error {
	now, err := s.m.Clock().Now(ctx)
	if err != nil {
		return err
	}
	p.At = timestamppb.New(now)
	return s.Record(topology.KeyProcess.Sub(p.GetService()).Sub(p.GetInstance()), p.GetAccount()).Put(ctx, p)
}

// Processes returns the latest record of every process of an account, in the order in which they were written, and the
// time of the NATS server. Records older than topology.ProcessRetention are not included.
func (s *Stores) Processes(ctx context.Context, account string) (processes []*meshv1.Process, now time.Time,
	err error,
) {
	bucket, filter := s.m.BucketStream(topology.BucketProcess), topology.KeyProcess.Sub("*").Sub("*").Subject(account)
	for from := uint64(1); ; {
		messages, left, err := bucket.Page(ctx, filter, from)
		if err != nil {
			return nil, now, fmt.Errorf("read the records of the processes: %w", err)
		}
		for _, msg := range messages {
			from = msg.Sequence + 1
			p := &meshv1.Process{}
			if err := proto.Unmarshal(msg.Data, p); err != nil {
				return nil, now, fmt.Errorf("message %d of bucket %s is not the record of a process: %w", msg.Sequence,
					topology.BucketProcess, err)
			}
			// The server's time of the message, since a process may not know the time.
			p.At = timestamppb.New(msg.Time)
			processes = append(processes, p)
		}
		if left == 0 || len(messages) == 0 {
			break
		}
	}
	now, err = s.m.Clock().Now(ctx)
	return processes, now, err
}

// missedBeats is how many records in a row a process may fail to write before it counts as lost.
const missedBeats = 5

// IsLost reports whether a process ended without saying so: it should have written its record several times since.
func IsLost(p *meshv1.Process, now time.Time) bool {
	return p.GetStoppedAt() == nil && now.Sub(p.GetAt().AsTime()) > missedBeats*p.GetInterval().AsDuration()
}

// IsRunning reports whether a process runs, as far as its record says.
func IsRunning(p *meshv1.Process, now time.Time) bool {
	return p.GetStoppedAt() == nil && !IsLost(p, now)
}
