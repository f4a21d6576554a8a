package stripeapi

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/stripe/stripe-go/v76"
)

// Action is what to do after a failed call.
type Action int

const (
	// RetrySameKey repeats the same call later. The call was not executed, or Stripe keeps its answer under the
	// idempotency key.
	RetrySameKey Action = iota
	// RereadFirst reads the product before the next call, which gets a new key. Stripe holds something else than was
	// recorded, or it is unknown whether the call was executed.
	RereadFirst
	// Halt stops the account's calls until an operator acts: no call can succeed with this key or account. Everything
	// is kept and tried again later.
	Halt
	// Refuse makes the change a dead letter: Stripe will never accept this call.
	Refuse
)

func (a Action) String() string {
	return [...]string{"retry with the same key", "reread the product first", "halt the account", "dead letter"}[a]
}

// rule is a row of the table of failures.
type rule struct {
	// description describes the row, for documents.
	description string
	match       func(e *stripe.Error) bool
	action      Action
	// notExecuted reports whether, by Stripe's documentation, the call had no effect and is not remembered under its
	// key.
	notExecuted bool
}

func hasCode(c stripe.ErrorCode) func(*stripe.Error) bool {
	return func(e *stripe.Error) bool { return e.Code == c }
}

func hasStatus(from, to int) func(*stripe.Error) bool {
	return func(e *stripe.Error) bool { return e.HTTPStatusCode >= from && e.HTTPStatusCode <= to }
}

// shouldRetry reports whether Stripe asks for the call to be repeated (https://docs.stripe.com/error-low-level,
// Stripe-Should-Retry).
func shouldRetry(e *stripe.Error) bool {
	return e.LastResponse != nil && e.LastResponse.Header.Get("Stripe-Should-Retry") == "true"
}

// rules is the table of failures. The first row that matches decides. Sources: docs.stripe.com/error-low-level,
// /rate-limits, /api/idempotent_requests.
var rules = []rule{
	{
		"429: over a rate or concurrency limit, or the object is locked by another request; not executed",
		hasStatus(429, 429), RetrySameKey, true,
	},
	{
		"idempotency_key_in_use: the same call is still running", hasCode(stripe.ErrorCodeIdempotencyKeyInUse),
		RetrySameKey,
		false,
	},
	{
		"idempotency_error: the key was used for another call",
		func(e *stripe.Error) bool { return e.Type == stripe.ErrorTypeIdempotency }, RereadFirst, false,
	},
	{"409: conflict with another request; not executed", hasStatus(409, 409), RetrySameKey, true},
	{
		"resource_already_exists: the product was created before", hasCode(stripe.ErrorCodeResourceAlreadyExists),
		RereadFirst, false,
	},
	{"404: the object is gone", hasStatus(404, 404), RereadFirst, false},
	{"401: the key is not valid", hasStatus(401, 401), Halt, true},
	{"403: the key lacks a permission", hasStatus(403, 403), Halt, true},
	{
		"500 and above: it is unknown whether the call was executed, and Stripe answers the same key with the same " +
			"error",
		hasStatus(500, 599), RereadFirst, false,
	},
	{
		"other 4xx with Stripe-Should-Retry: true: by Stripe's header the same call may succeed", shouldRetry,
		RetrySameKey, false,
	},
	{"other 4xx: the request is wrong", hasStatus(400, 499), Refuse, false},
}

// Failure is a failed call, classified.
type Failure struct {
	Action Action
	// OutcomeKnown is true if Stripe remembers this outcome under the call's key. The next such call needs a new key.
	OutcomeKnown bool
	// NotExecuted is true if the call is known to have had no effect.
	NotExecuted bool
	// Status is the HTTP status; 0 if Stripe did not answer.
	Status int
	// Message, Code, Param and RequestID are Stripe's; empty if Stripe did not answer.
	Message, Code, Param, RequestID string
	Err                             error
}

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// ErrorType returns Stripe's code, or the HTTP status if there is none. Spans have it as error.type.
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

// NotSentError is why a call was not made.
type NotSentError struct{ Err error }

func (e *NotSentError) Error() string { return e.Err.Error() }
func (e *NotSentError) Unwrap() error { return e.Err }

// Classify classifies a failed call by the table. After an error that is not from Stripe (a broken connection, a
// time-out, a proxy's page) the outcome is unknown. Repeating the call with the same key is safe.
func Classify(err error) *Failure {
	var e *stripe.Error
	if !errors.As(err, &e) {
		return &Failure{Action: RetrySameKey, Err: err}
	}
	f := &Failure{
		Action: Refuse, Status: e.HTTPStatusCode, Message: e.Msg, Code: string(e.Code), Param: e.Param,
		RequestID: e.RequestID,
		Err:       &stripeError{e},
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

// stripeError formats Stripe's error as a sentence. stripe-go's own text is JSON.
type stripeError struct{ e *stripe.Error }

func (r *stripeError) Error() string {
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

func (r *stripeError) Unwrap() error { return r.e }

// RateLimitReason returns Stripe's reason if the error is a limiter's answer (global-rate, endpoint-concurrency, ...),
// else "".
func RateLimitReason(err error) string {
	var e *stripe.Error
	if !errors.As(err, &e) || e.HTTPStatusCode != http.StatusTooManyRequests || e.LastResponse == nil {
		return ""
	}
	return e.LastResponse.Header.Get("Stripe-Rate-Limited-Reason")
}

// IsNotFound reports whether Stripe answered that there is no such object.
func IsNotFound(err error) bool {
	var e *stripe.Error
	return errors.As(err, &e) && e.HTTPStatusCode == http.StatusNotFound
}
