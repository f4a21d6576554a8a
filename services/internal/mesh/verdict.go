package mesh

import (
	"math/rand/v2"
	"time"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

type decision int

const (
	ack decision = iota
	retry
	dead
)

// Verdict is a handler's decision about a message.
type Verdict struct {
	decision decision
	delay    time.Duration
	err      error
	busy     bool
	letter   *meshv1.DeadLetter
}

// Ack acknowledges the message.
func Ack() Verdict { return Verdict{decision: ack} }

// Retry redelivers the message after RetryDelay of its attempt.
func Retry(err error) Verdict { return Verdict{decision: retry, err: err} }

// RetryIn redelivers the message after d. A nil err means that nothing is wrong: the message cannot be handled yet.
func RetryIn(d time.Duration, err error) Verdict {
	return Verdict{decision: retry, delay: max(d, time.Millisecond), err: err}
}

// Busy redelivers the message after d, because another handler is working on the same product. Such a delivery leaves
// no span, and the handler must not have left one either. The span of the successful delivery has the number of
// attempts.
func Busy(d time.Duration) Verdict {
	v := RetryIn(d, nil)
	v.busy = true
	return v
}

// Dead stores the letter on DEAD and terminates the message. Consume fills in the message's origin, attempts, times and
// trace, and its payload if the letter has none.
func Dead(letter *meshv1.DeadLetter) Verdict { return Verdict{decision: dead, letter: letter} }

// isFailure reports whether something went wrong.
func (v Verdict) isFailure() bool { return v.decision == dead || v.err != nil }

// MaxRetryDelay is the maximum of RetryDelay.
const MaxRetryDelay = 15 * time.Minute

// RetryDelay returns the delay before the next delivery of a message that has been delivered attempt times. It doubles
// from 1 s up to 15 minutes from the eleventh attempt on. A random 50 to 100 % of that is used, so that messages that
// failed together do not come back together.
func RetryDelay(attempt uint64) time.Duration {
	d := MaxRetryDelay
	if attempt = max(attempt, 1); attempt <= 10 {
		d = min(time.Second<<(attempt-1), MaxRetryDelay)
	}
	return d/2 + rand.N(d/2)
}
