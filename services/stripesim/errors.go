package stripesim

import (
	"fmt"
	"net/http"
	"strings"
)

// refusal is an error answer in Stripe's form.
type refusal struct {
	status  int
	kind    string // error.type
	code    string
	message string
	param   string

	// shouldRetry is the header Stripe-Should-Retry, with which Stripe states whether the same request may succeed.
	shouldRetry string
	// limitReason is the limiter's reason, for the header Stripe-Rate-Limited-Reason.
	limitReason string
	// keepsKeyFree means that the request was refused before its execution began, so its idempotency key stays free.
	keepsKeyFree bool
	// noRequestID means that the request was refused before it got an id.
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

// invalid refuses a malformed parameter. Execution has not begun.
func invalid(code, param, format string, args ...any) *refusal {
	return &refusal{
		status: http.StatusBadRequest, kind: typeInvalid, code: code, param: param,
		message: fmt.Sprintf(format, args...), keepsKeyFree: true,
	}
}

// refuse ends the execution of a request that the account's state forbids.
func refuse(code, param, format string, args ...any) *refusal {
	return &refusal{
		status:  http.StatusBadRequest,
		kind:    typeInvalid,
		code:    code,
		param:   param,
		message: fmt.Sprintf(format, args...),
	}
}

// missing refuses a reference to an object that does not exist: with 404 if the path names it, with 400 if a parameter
// does.
func missing(status int, what, id, param string) *refusal {
	return &refusal{
		status: status, kind: typeInvalid, code: "resource_missing", param: param,
		message: fmt.Sprintf("No such %s: '%s'", what, id),
	}
}

func rateLimited(reason string) *refusal {
	return &refusal{
		status: http.StatusTooManyRequests, kind: typeInvalid, code: "rate_limit", limitReason: reason,
		keepsKeyFree: true,
		message:      "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.",
	}
}

func lockTimeout() *refusal {
	return &refusal{
		status: http.StatusTooManyRequests, kind: typeInvalid, code: "lock_timeout", keepsKeyFree: true,
		noRequestID: true,
		shouldRetry: "true",
		message: "This object cannot be accessed right now because another API request or Stripe process is currently accessing it. " +
			"If you see this error intermittently, retry the request. If you see this error frequently and are making multiple concurrent " +
			"requests to a single object, make your requests serially or at a lower rate.",
	}
}

// faultRefusal returns the refusal that a fault defines.
func faultRefusal(f Fault) *refusal {
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
		status: http.StatusServiceUnavailable, kind: typeAPI, keepsKeyFree: true,
		message: "Stripe is currently unavailable. Please try again.",
	}
}
