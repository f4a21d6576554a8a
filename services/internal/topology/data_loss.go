package topology

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// dataLoss describes the messages that a stream would lose if it were updated to want; "" for none. A change that the
// server would refuse loses nothing.
func dataLoss(ctx context.Context, want jetstream.StreamConfig, s jetstream.Stream) (string, error) {
	have, state := s.CachedInfo().Config, s.CachedInfo().State
	if state.Msgs == 0 {
		return "", nil
	}
	var losses []string
	if n, limit := have.MaxMsgsPerSubject, want.MaxMsgsPerSubject; limit > 0 && (n <= 0 || n > limit) {
		losses = append(losses, fmt.Sprintf("all but the latest %d messages of each subject", limit))
	}
	if want.MaxAge > 0 && (have.MaxAge == 0 || have.MaxAge > want.MaxAge) && time.Since(state.FirstTime) > want.MaxAge {
		losses = append(losses,
			fmt.Sprintf("messages older than %s, the oldest from %s", want.MaxAge,
				state.FirstTime.UTC().Format(time.RFC3339)))
	}
	uncovered, err := countUncovered(ctx, want.Subjects, s)
	if err != nil {
		return "", err
	}
	if uncovered > 0 {
		losses = append(losses,
			fmt.Sprintf("%d messages on subjects that the stream would no longer have, for every consumer",
				uncovered))
	}
	return strings.Join(losses, ", and "), nil
}

// countUncovered counts the messages whose subject is not among the given ones.
func countUncovered(ctx context.Context, subjects []string, s jetstream.Stream) (uint64, error) {
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

// olderValues describes the older values that a bucket would lose; "" for none.
func olderValues(info *jetstream.StreamInfo) string {
	if info.State.Msgs == info.State.NumSubjects {
		return ""
	}
	return fmt.Sprintf("%d older values of its keys", info.State.Msgs-info.State.NumSubjects)
}

// Matches reports whether a pattern of subjects matches a subject.
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
