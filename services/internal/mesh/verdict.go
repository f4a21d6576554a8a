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

// Ack says that the message is done with.
func Ack() Verdict { return Verdict{decision: ack} }

// Retry has the message delivered again after RetryDelay of its attempt.
func Retry(err error) Verdict { return Verdict{decision: retry, err: err} }

// RetryIn has the message delivered again after d. A nil err means that nothing is wrong, only not yet possible.
func RetryIn(d time.Duration, err error) Verdict {
	return Verdict{decision: retry, delay: max(d, time.Millisecond), err: err}
}

// Busy has the message delivered again after d, because what it is about is being worked on: nothing was done with it.
// Such a delivery leaves no span, and the handler must have left none either: the one that gets through says how many
// came before.
func Busy(d time.Duration) Verdict {
	v := RetryIn(d, nil)
	v.busy = true
	return v
}

// Dead gives the message up: the letter is stored on DEAD, then the message is terminated. Work fills in where
// the message came from, its attempts, times, trace and, if the letter has none, its payload.
func Dead(letter *meshv1.DeadLetter) Verdict { return Verdict{decision: dead, letter: letter} }

// Err is why the message is retried; nil when it is not or when nothing is wrong.
func (v Verdict) Err() error { return v.err }

// Letter is the dead letter of a message that is given up, else nil.
func (v Verdict) Letter() *meshv1.DeadLetter { return v.letter }

// Retried says whether the message will come again.
func (v Verdict) Retried() bool { return v.decision == retry }

// MaxRetryDelay is where RetryDelay stops growing.
const MaxRetryDelay = 15 * time.Minute

// RetryDelay is how long to wait before the next delivery of a message that has been delivered attempt times:
// 1 s, 2 s, 4 s, ... doubling up to 15 minutes from the eleventh on, each spread evenly over 50 % to 100 % of
// that so that what failed together does not come back together.
func RetryDelay(attempt uint64) time.Duration {
	d := MaxRetryDelay
	if attempt = max(attempt, 1); attempt <= 10 {
		d = min(time.Second<<(attempt-1), MaxRetryDelay)
	}
	return d/2 + rand.N(d/2)
}
