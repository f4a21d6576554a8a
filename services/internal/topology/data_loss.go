package topology

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// dataLoss says which messages a stream would lose if it were made what is wanted; empty for none. Where the server
// would refuse the change there is nothing to lose.
func dataLoss(ctx context.Context, want jetstream.StreamConfig, s jetstream.Stream) (string, error) {
	have, state := s.CachedInfo().Config, s.CachedInfo().State
	if state.Msgs == 0 {
		return "", nil
	}
	var losses []string
	if n, limit := have.MaxMsgsPerSubject, want.MaxMsgsPerSubject; limit > 0 && (n <= 0 || n > limit) {
		losses = append(losses, fmt.Sprintf("all but the newest %d messages of each subject", limit))
	}
	if want.MaxAge > 0 && (have.MaxAge == 0 || have.MaxAge > want.MaxAge) && time.Since(state.FirstTime) > want.MaxAge {
		losses = append(losses,
			fmt.Sprintf("messages older than %s, the oldest being of %s", want.MaxAge,
				state.FirstTime.UTC().Format(time.RFC3339)))
	}
	orphaned, err := orphans(ctx, want.Subjects, s)
	if err != nil {
		return "", err
	}
	if orphaned > 0 {
		losses = append(losses,
			fmt.Sprintf("from every consumer %d messages on subjects that the stream would not have any more",
				orphaned))
	}
	return strings.Join(losses, ", and "), nil
}

// orphans counts the messages whose subject is none of the wanted ones.
func orphans(ctx context.Context, subjects []string, s jetstream.Stream) (uint64, error) {
	covered := true
	for _, have := range s.CachedInfo().Config.Subjects {
		in := false
		for _, want := range subjects {
			in = in || want == have
		}
		covered = covered && in
	}
	if covered {
		return 0, nil
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return 0, fmt.Errorf("list the subjects of stream %s: %w", s.CachedInfo().Config.Name, err)
	}
	var n uint64
	for subject, count := range info.State.Subjects {
		in := false
		for _, want := range subjects {
			in = in || Matches(want, subject)
		}
		if !in {
			n += count
		}
	}
	return n, nil
}

// olderOf says that a bucket would lose its older values.
func olderOf(info *jetstream.StreamInfo) string {
	if info.State.Msgs == info.State.NumSubjects {
		return ""
	}
	return fmt.Sprintf("%d older values of its keys", info.State.Msgs-info.State.NumSubjects)
}

// Matches says whether a pattern of subjects covers a subject.
func Matches(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range p {
		switch {
		case token == ">":
			return len(s) > i
		case i >= len(s), token != "*" && token != s[i]:
			return false
		}
	}
	return len(p) == len(s)
}
