package stripesim

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// call is one request.
type call struct {
	op         *operation
	method     string
	path       string
	id         string // from the path
	form       *field
	pairs      []pair
	formErr    *refusal
	expand     *expansion
	version    string
	versionErr *refusal
	now        time.Time
	requestID  string
	key        string // Idempotency-Key
	who        identity
	// inline creates a price as a checkout does. silent makes no events.
	inline, silent bool
	// executed means that the operation ran, whatever its result.
	executed bool
	fault    FaultKind
}

func (s *Sim) read(w http.ResponseWriter, r *http.Request) *call {
	c := &call{
		method: r.Method, path: r.URL.EscapedPath(), now: s.cfg.Clock(), requestID: newID("req_", 14),
		version: s.cfg.APIVersion,
	}
	c.op, c.id = route(c.method, c.path)
	if v := r.Header.Get("Stripe-Version"); v != "" {
		if c.version = v; !apiVersion.MatchString(v) {
			c.versionErr = invalid("", "", "Invalid Stripe API version: %s", v)
		}
	}
	if r.Method == http.MethodPost {
		// Elsewhere keys have no effect, because those operations are idempotent anyway.
		c.key = strings.TrimSpace(r.Header.Get("Idempotency-Key"))
	}
	encoded := r.URL.RawQuery
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			c.formErr = &refusal{
				status:       http.StatusRequestEntityTooLarge,
				kind:         typeInvalid,
				message:      "Request entity too large",
				keepsKeyFree: true,
			}
		}
		encoded = join(encoded, string(body))
	}
	var bad *refusal
	if c.form, c.pairs, bad = parseForm(encoded); bad != nil {
		c.formErr, c.form = bad, &field{}
	}
	return c
}

func join(query, body string) string {
	if query == "" || body == "" {
		return query + body
	}
	return query + "&" + body
}

// check compares the request with the parameters of its operation.
func (c *call) check(documentedOnly bool) *refusal {
	if c.versionErr != nil {
		return c.versionErr
	}
	if c.formErr != nil {
		return c.formErr
	}
	if len(c.key) > maxKeyLength {
		return &refusal{
			status:       http.StatusBadRequest,
			kind:         typeIdempotency,
			keepsKeyFree: true,
			message:      "Idempotency keys can be at most " + strconv.Itoa(maxKeyLength) + " characters long.",
		}
	}
	if bad := check(c.form, c.op.params, checker{version: c.version, documentedOnly: documentedOnly}); bad != nil {
		return bad
	}
	var bad *refusal
	c.expand, bad = readExpansion(c.form.get("expand"), c.op.object, c.op.list)
	return bad
}

func (c *call) keyHeaders(h http.Header, original string) {
	if c.key != "" {
		h.Set("Idempotency-Key", c.key)
		h.Set("Original-Request", original)
	}
}
