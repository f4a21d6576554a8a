package stripeapi

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/stripe/stripe-go/v76"
)

// Action is what a failed call asks for.
type Action int

const (
	// RetrySameKey: the call was not executed, or its answer is kept by Stripe under its idempotency key. Make the
	// same call again, later.
	RetrySameKey Action = iota
	// RereadFirst: what Stripe holds is not what was thought, or nobody knows whether the call was executed. Read
	// the product before the next call, which gets a new key.
	RereadFirst
	// Halt: nothing can be done with this key or account until an operator acts. Keep everything, try again later.
	Halt
	// Refuse: Stripe will never accept this call. Give the change up as a dead letter.
	Refuse
)

func (a Action) String() string {
	return [...]string{"retry with the same key", "look at Stripe first", "halt the account", "dead letter"}[a]
}

// rule is a row of the table of failures.
type rule struct {
	// what the row is about, for documents.
	what   string
	match  func(e *stripe.Error) bool
	action Action
	// notExecuted: Stripe's word is that the call had no effect and was not remembered under its key.
	notExecuted bool
}

func code(c stripe.ErrorCode) func(*stripe.Error) bool {
	return func(e *stripe.Error) bool { return e.Code == c }
}

func status(from, to int) func(*stripe.Error) bool {
	return func(e *stripe.Error) bool { return e.HTTPStatusCode >= from && e.HTTPStatusCode <= to }
}

// shouldRetry says whether Stripe asks for the call to be made again (https://docs.stripe.com/error-low-level,
// Stripe-Should-Retry).
func shouldRetry(e *stripe.Error) bool {
	return e.LastResponse != nil && e.LastResponse.Header.Get("Stripe-Should-Retry") == "true"
}

// rules is the table of failures; the first row that matches decides. Sources: docs.stripe.com/error-low-level,
// /rate-limits, /api/idempotent_requests.
var rules = []rule{
	{
		"429: over a rate or concurrency limit, or the object is locked by another request; not executed",
		status(429, 429), RetrySameKey, true,
	},
	{
		"idempotency_key_in_use: the same call is still running", code(stripe.ErrorCodeIdempotencyKeyInUse), RetrySameKey,
		false,
	},
	{
		"idempotency_error: the key was used for another call",
		func(e *stripe.Error) bool { return e.Type == stripe.ErrorTypeIdempotency }, RereadFirst, false,
	},
	{"409: conflict with another request; not executed", status(409, 409), RetrySameKey, true},
	{
		"resource_already_exists: somebody made the product before", code(stripe.ErrorCodeResourceAlreadyExists),
		RereadFirst, false,
	},
	{"404: the object is gone", status(404, 404), RereadFirst, false},
	{"401: the key is not valid", status(401, 401), Halt, true},
	{"403: the key lacks a permission", status(403, 403), Halt, true},
	{
		"500 and above: nobody knows whether the call was executed, and Stripe answers the same key with the same error",
		status(500, 599), RereadFirst, false,
	},
	{
		"other 4xx with Stripe-Should-Retry: true: Stripe's own word that the same call may succeed", shouldRetry,
		RetrySameKey, false,
	},
	{"other 4xx: the request is wrong", status(400, 499), Refuse, false},
}

// Failure is a failed call, classified.
type Failure struct {
	Action Action
	// OutcomeKnown is true if Stripe remembers this outcome under the call's key: a next call like it needs a new one.
	OutcomeKnown bool
	// NotExecuted is true if the call is known to have had no effect.
	NotExecuted bool
	// Status is HTTP's; 0 if Stripe did not answer.
	Status int
	// Message, Code, Param and RequestID are Stripe's; empty if Stripe did not answer.
	Message, Code, Param, RequestID string
	Err                             error
}

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// ErrorType is Stripe's code, or HTTP's status where it gave none: the error.type of spans.
func (f *Failure) ErrorType() string {
	switch {
	case f.Code != "":
		return f.Code
	case f.Status != 0:
		return strconv.Itoa(f.Status)
	default:
		return "no_answer"
	}
}

// NotSentError is a call that was given up before it was made.
type NotSentError struct{ Err error }

func (e *NotSentError) Error() string { return e.Err.Error() }
func (e *NotSentError) Unwrap() error { return e.Err }

// Classify looks a failed call up in the table. An error that is not Stripe's word (a broken connection, a
// time-out, a proxy's page) leaves the outcome unknown, but the same key makes asking again safe.
func Classify(err error) *Failure {
	var e *stripe.Error
	if !errors.As(err, &e) {
		return &Failure{Action: RetrySameKey, Err: err}
	}
	f := &Failure{
		Action: Refuse, Status: e.HTTPStatusCode, Message: e.Msg, Code: string(e.Code), Param: e.Param,
		RequestID: e.RequestID,
		Err:       &refusal{e},
	}
	if f.Code == "" {
		f.Code = string(e.Type)
	}
	for _, r := range rules {
		if r.match(e) {
			f.Action, f.NotExecuted = r.action, r.notExecuted
			break
		}
	}
	f.OutcomeKnown = f.Action == Refuse || f.Action == RereadFirst
	return f
}

// refusal says what Stripe said in a sentence; stripe-go's own text is JSON.
type refusal struct{ e *stripe.Error }

func (r *refusal) Error() string {
	s := "Stripe: " + http.StatusText(r.e.HTTPStatusCode)
	if r.e.Msg != "" {
		s = "Stripe: " + r.e.Msg
	}
	if r.e.Param != "" {
		s += " (" + r.e.Param + ")"
	}
	if r.e.RequestID != "" {
		s += " [" + r.e.RequestID + "]"
	}
	return s
}

func (r *refusal) Unwrap() error { return r.e }

// IsRateLimited returns Stripe's reason if the error is a limiter's answer (global-rate, endpoint-concurrency, ...),
// else "".
func IsRateLimited(err error) string {
	var e *stripe.Error
	if !errors.As(err, &e) || e.HTTPStatusCode != http.StatusTooManyRequests || e.LastResponse == nil {
		return ""
	}
	return e.LastResponse.Header.Get("Stripe-Rate-Limited-Reason")
}

// IsNotFound says whether Stripe answered that there is no such object.
func IsNotFound(err error) bool {
	var e *stripe.Error
	return errors.As(err, &e) && e.HTTPStatusCode == http.StatusNotFound
}
