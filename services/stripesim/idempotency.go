package stripesim

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// maxKeyLength is the maximum length of an idempotency key.
const maxKeyLength = 255

// answer is the stored answer to a request with an idempotency key, whether it succeeded or not.
type answer struct {
	Key       string          `json:"key"`
	At        int64           `json:"at"`
	Path      string          `json:"path"`
	Print     string          `json:"print"` // of the parameters
	Status    int             `json:"status"`
	Body      json.RawMessage `json:"body"`
	RequestID string          `json:"request_id"`
}

// answers are stored by key until they expire.
type answers struct {
	byKey map[string]*answer
	// age has the keys in the order in which they were stored. An expired key may occur twice.
	age []aged
	// inUse are the keys whose first request is still running.
	inUse map[string]bool
}

type aged struct {
	key string
	at  int64
}

func newAnswers() answers {
	return answers{byKey: map[string]*answer{}, inUse: map[string]bool{}}
}

func (a *answers) put(v *answer) {
	a.byKey[v.Key] = v
	a.age = append(a.age, aged{v.Key, v.At})
}

func (a *answers) prune(now time.Time, retention time.Duration) {
	oldest := now.Add(-retention).Unix()
	n := 0
	for n < len(a.age) && a.age[n].at < oldest {
		if v := a.byKey[a.age[n].key]; v != nil && v.At < oldest {
			delete(a.byKey, v.Key)
		}
		n++
	}
	a.age = slices.Delete(a.age, 0, n)
}

func (a *answers) all() []*answer {
	var out []*answer
	for _, x := range a.age {
		if v := a.byKey[x.key]; v != nil && v.At == x.at {
			out = append(out, v)
		}
	}
	return out
}

// claim reserves a request's key. It returns the answer to replay if the same request used the key before.
func (s *store) claim(c *call) (*answer, *refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers.prune(c.now, s.sim.cfg.IdempotencyRetention)
	switch old := s.answers.byKey[c.key]; {
	case s.answers.inUse[c.key]:
		return nil, &refusal{
			status: http.StatusConflict, kind: typeIdempotency, code: "idempotency_key_in_use", keepsKeyFree: true,
			shouldRetry: "true",
			message: "There is currently another in-progress request using this Idempotent Key (that probably means you submitted twice, " +
				"and the other request is still going through): " + c.key + ". Please try again later.",
		}
	case old == nil:
		s.answers.inUse[c.key] = true
		return nil, nil
	case old.Path != c.path:
		return nil, mismatch("for the same endpoint they were first used for ('" + old.Path + "' vs '" + c.path +
			"'). Try using a key other than '" + c.key + "'")
	case old.Print != c.fingerprint():
		return nil, mismatch("with the same parameters they were first used with. Try using a key other than '" +
			c.key + "'")
	default:
		return old, nil
	}
}

func mismatch(how string) *refusal {
	return &refusal{
		status: http.StatusBadRequest, kind: typeIdempotency, keepsKeyFree: true,
		message: "Keys for idempotent requests can only be used " + how +
			" if you meant to execute a different request.",
	}
}

// release releases a claimed key. A stored answer stays with the key.
func (s *store) release(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.answers.inUse, key)
}

// fingerprint returns a fingerprint of a request's parameters that does not depend on their order.
func (c *call) fingerprint() string {
	pairs := slices.Clone(c.pairs)
	slices.SortStableFunc(pairs, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	h := sha256.New()
	for _, p := range pairs {
		for _, s := range []string{p.name, p.value} {
			// The lengths distinguish "a"+"bc" from "ab"+"c".
			_, _ = h.Write([]byte{byte(len(s) >> 16), byte(len(s) >> 8), byte(len(s))})
			_, _ = h.Write([]byte(s))
		}
	}
	return base64.RawStdEncoding.EncodeToString(h.Sum(nil)[:18])
}
