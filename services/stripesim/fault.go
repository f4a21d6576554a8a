package stripesim

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// FaultKind is the kind of a failure. The package's documentation describes each.
type FaultKind string

// Kinds of faults.
const (
	FaultRateLimit    FaultKind = "rate_limit"
	FaultLockTimeout  FaultKind = "lock_timeout"
	FaultErrorBefore  FaultKind = "error_before"
	FaultErrorAfter   FaultKind = "error_after"
	FaultUnavailable  FaultKind = "unavailable"
	FaultBadGateway   FaultKind = "bad_gateway"
	FaultLatency      FaultKind = "latency"
	FaultResponseLost FaultKind = "response_lost"
	FaultReset        FaultKind = "reset"
	FaultKeyRevoked   FaultKind = "key_revoked"
	FaultForbidden    FaultKind = "forbidden"
	FaultRefused      FaultKind = "refused"

	FaultWebhookLost       FaultKind = "webhook_lost"
	FaultWebhookDuplicated FaultKind = "webhook_duplicated"
	FaultWebhookDelayed    FaultKind = "webhook_delayed"
	FaultWebhookReordered  FaultKind = "webhook_reordered"
)

// requestFaults strike every request, before its execution or on the way of its answer.
var requestFaults = []FaultKind{
	FaultReset, FaultKeyRevoked, FaultForbidden, FaultRateLimit, FaultLockTimeout, FaultUnavailable, FaultBadGateway,
	FaultLatency, FaultResponseLost,
}

// executionFaults strike only requests that are executed.
var executionFaults = []FaultKind{FaultErrorBefore, FaultErrorAfter, FaultRefused}

// webhookFaults strike deliveries of webhooks.
var webhookFaults = []FaultKind{FaultWebhookLost, FaultWebhookDuplicated, FaultWebhookDelayed, FaultWebhookReordered}

var allFaults = slices.Concat(requestFaults, executionFaults, webhookFaults)

// Fault is a failure on demand.
type Fault struct {
	// ID is set by the simulator.
	ID   string    `json:"id,omitempty"`
	Kind FaultKind `json:"kind"`
	// Method and Path restrict the fault to requests. Empty means any. In Path, * matches any characters. Path is
	// compared with the request's path ("/v1/products/prod_1") and the operation's ("/v1/products/{id}").
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	// Object restricts the fault to requests about an object: by the id in the path, the id of a new product, or the
	// product of a new price. For webhooks it restricts the fault to events about the object.
	Object string `json:"object,omitempty"`
	// Key restricts the fault to requests with this API key, so that one of two keys can be revoked.
	Key string `json:"key,omitempty"`
	// Event restricts a webhook fault to event types, such as "product.*".
	Event string `json:"event,omitempty"`
	// Skip is the number of matches that the fault spares first.
	Skip int `json:"skip,omitempty"`
	// Count is the number of strikes. 0 means no limit.
	Count int `json:"count,omitempty"`
	// Probability is the probability that a match is struck. 0 means always. The same Seed makes the same choices.
	Probability float64 `json:"probability,omitempty"`
	Seed        uint64  `json:"seed,omitempty"`
	// Reason is the reason of a rate_limit. Defaults to ReasonGlobalRate.
	Reason string `json:"reason,omitempty"`
	// Status is the status of a refused fault, from 400 to 499, with the code, message and parameter of the error.
	// Defaults to 400 and a message of the simulator.
	Status  int    `json:"status,omitempty"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	Param   string `json:"param,omitempty"`
	// ShouldRetry is the header Stripe-Should-Retry of a refused fault: "true", "false", or empty for none.
	ShouldRetry string `json:"should_retry,omitempty"`
	// Delay is the delay of latency, webhook_delayed and webhook_reordered, in nanoseconds.
	Delay time.Duration `json:"delay,omitempty"`
	// Hits is how often the fault has struck.
	Hits int `json:"hits"`
}

// faults are the faults that are set.
type faults struct {
	mu   sync.Mutex
	set  []*activeFault
	last int
}

type activeFault struct {
	Fault
	skipped int
	random  *rand.Rand
}

// occasion is a request, or a delivery of a webhook, that a fault may strike.
type occasion struct {
	method, path, operation string
	objects                 []string
	key                     string
	event                   string
}

func (f *faults) add(fault Fault) (Fault, error) {
	if err := fault.complete(); err != nil {
		return Fault{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	fault.ID, fault.Hits = fmt.Sprintf("fault_%d", f.last), 0
	f.set = append(f.set, &activeFault{Fault: fault, random: rand.New(rand.NewPCG(fault.Seed, 0))})
	return fault, nil
}

// complete checks a fault and sets its defaults.
func (f *Fault) complete() error {
	if !slices.Contains(allFaults, f.Kind) {
		return fmt.Errorf("simulator: there is no fault %q; the faults are %v", f.Kind, allFaults)
	}
	if f.Probability < 0 || f.Probability > 1 {
		return fmt.Errorf("simulator: the probability of a fault must be between 0 and 1, not %v", f.Probability)
	}
	switch f.Kind {
	case FaultRateLimit:
		setDefault(&f.Reason, ReasonGlobalRate)
	case FaultRefused:
		setDefault(&f.Status, http.StatusBadRequest)
		setDefault(&f.Message, "The simulator was told to refuse this request.")
		if f.Status < 400 || f.Status > 499 {
			return fmt.Errorf("simulator: the status of a refused fault must be between 400 and 499, not %d", f.Status)
		}
		if !slices.Contains([]string{"", "true", "false"}, f.ShouldRetry) {
			return fmt.Errorf("simulator: should_retry of a refused fault must be true or false, not %q", f.ShouldRetry)
		}
	default:
	}
	return nil
}

func (f *faults) list() []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]Fault, len(f.set))
	for i, x := range f.set {
		out[i] = x.Fault
	}
	return out
}

func (f *faults) remove(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.set)
	f.set = slices.DeleteFunc(f.set, func(x *activeFault) bool { return x.ID == id })
	return len(f.set) < n
}

func (f *faults) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.set = nil
}

// strike returns the faults of the given kinds that strike an occasion: every latency, and at most one other. It counts
// them.
func (f *faults) strike(kinds []FaultKind, o occasion) []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []Fault
	struck := false
	for _, x := range f.set {
		if !slices.Contains(kinds, x.Kind) || struck && x.Kind != FaultLatency || !x.matches(o) || !x.fires() {
			continue
		}
		struck = struck || x.Kind != FaultLatency
		out = append(out, x.Fault)
	}
	return out
}

func (f *activeFault) matches(o occasion) bool {
	return (f.Count == 0 || f.Hits < f.Count) &&
		(f.Method == "" || strings.EqualFold(f.Method, o.method)) &&
		(f.Path == "" || matchesPattern(f.Path, o.path) || matchesPattern(f.Path, o.operation)) &&
		(f.Key == "" || f.Key == o.key) &&
		(f.Object == "" || slices.Contains(o.objects, f.Object)) &&
		(f.Event == "" || isSubscribed([]string{f.Event}, o.event))
}

// fires reports whether the fault strikes a match. It counts the match.
func (f *activeFault) fires() bool {
	if f.skipped < f.Skip {
		f.skipped++
		return false
	}
	if f.Probability > 0 && f.random.Float64() >= f.Probability {
		return false
	}
	f.Hits++
	return true
}

// matchesPattern reports whether s matches a pattern in which * matches any characters.
func matchesPattern(pattern, s string) bool {
	head, rest, hasStar := strings.Cut(pattern, "*")
	if !hasStar {
		return pattern == s
	}
	if !strings.HasPrefix(s, head) {
		return false
	}
	for i := len(head); i <= len(s); i++ {
		if matchesPattern(rest, s[i:]) {
			return true
		}
	}
	return false
}
