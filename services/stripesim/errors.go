package stripesim

import (
	"fmt"
	"net/http"
	"strings"
)

// refusal is an answer that is an error, in Stripe's form.
type refusal struct {
	status  int
	kind    string // error.type
	code    string
	message string
	param   string

	// shouldRetry is the header Stripe-Should-Retry: Stripe's own word on whether the same request may succeed.
	shouldRetry string
	// limited is the limiter's reason, for the header Stripe-Rate-Limited-Reason.
	limited string
	// unsaved: the request was turned away before its execution began, so its idempotency key stays free.
	unsaved bool
	// noRequestID: the request was given up before it got an id.
	noRequestID bool
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %s: %s", r.status, r.kind, r.message) }

// Stripe's values of error.type.
const (
	typeAPI         = "api_error"
	typeInvalid     = "invalid_request_error"
	typeIdempotency = "idempotency_error"
)

type errorBody struct {
	Error errorDetail `json:"error"`
}

type errorDetail struct {
	Code          string `json:"code,omitempty"`
	DocURL        string `json:"doc_url,omitempty"`
	Message       string `json:"message"`
	Param         string `json:"param,omitempty"`
	RequestLogURL string `json:"request_log_url,omitempty"`
	Type          string `json:"type"`
}

func (r *refusal) body(requestID string, live bool) errorBody {
	d := errorDetail{Code: r.code, Message: r.message, Param: r.param, Type: r.kind}
	if r.code != "" {
		d.DocURL = "https://stripe.com/docs/error-codes/" + strings.ReplaceAll(r.code, "_", "-")
	}
	if requestID != "" && !r.noRequestID && r.status != http.StatusUnauthorized {
		mode := "test/"
		if live {
			mode = ""
		}
		d.RequestLogURL = "https://dashboard.stripe.com/" + mode + "logs/" + requestID
	}
	return errorBody{d}
}

// invalid refuses a parameter by its look alone: execution never began.
func invalid(code, param, format string, args ...any) *refusal {
	return &refusal{
		status: http.StatusBadRequest, kind: typeInvalid, code: code, param: param,
		message: fmt.Sprintf(format, args...), unsaved: true,
	}
}

// refuse ends the execution of a request that the state of the account forbids.
func refuse(code, param, format string, args ...any) *refusal {
	return &refusal{
		status:  http.StatusBadRequest,
		kind:    typeInvalid,
		code:    code,
		param:   param,
		message: fmt.Sprintf(format, args...),
	}
}

// missing refuses a reference to an object that does not exist: 404 if the address names it, 400 if a parameter
// does.
func missing(status int, what, id, param string) *refusal {
	return &refusal{
		status: status, kind: typeInvalid, code: "resource_missing", param: param,
		message: fmt.Sprintf("No such %s: '%s'", what, id),
	}
}

func rateLimited(reason string) *refusal {
	return &refusal{
		status: http.StatusTooManyRequests, kind: typeInvalid, code: "rate_limit", limited: reason, unsaved: true,
		message: "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.",
	}
}

func lockTimeout() *refusal {
	return &refusal{
		status: http.StatusTooManyRequests, kind: typeInvalid, code: "lock_timeout", unsaved: true, noRequestID: true,
		shouldRetry: "true",
		message: "This object cannot be accessed right now because another API request or Stripe process is currently accessing it. " +
			"If you see this error intermittently, retry the request. If you see this error frequently and are making multiple concurrent " +
			"requests to a single object, make your requests serially or at a lower rate.",
	}
}

// told is the refusal that a fault asks for.
func told(f Fault) *refusal {
	return &refusal{
		status:      f.Status,
		kind:        typeInvalid,
		code:        f.Code,
		message:     f.Message,
		param:       f.Param,
		shouldRetry: f.ShouldRetry,
	}
}

func serverError() *refusal {
	return &refusal{
		status: http.StatusInternalServerError, kind: typeAPI,
		message: "An unknown error occurred",
	}
}

func unavailable() *refusal {
	return &refusal{
		status: http.StatusServiceUnavailable, kind: typeAPI, unsaved: true,
		message: "Stripe is currently unavailable. Please try again.",
	}
}
