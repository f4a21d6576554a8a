package mesh

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/metrics"
	"github.com/driftless-sync/driftless/services/internal/signing"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// SignatureHeader has the signature of a message on CATALOG, COMMAND or RETRY; see docs/security.md.
const SignatureHeader = "Driftless-Signature"

// maxCommandAge is the maximum time between the signing and the storing of a command. It is shorter than the two
// minutes in which JetStream drops a message with a known id, and the signature covers the id. So a command that is
// published again is either dropped or too old.
const maxCommandAge = 100 * time.Second

// maxStoreDelay is the maximum time between the signing and the storing of a message that was not published again.
const maxStoreDelay = time.Minute

// Reasons to refuse a message with a valid signature.
var (
	errRole     = errors.New("the service that signed it may not publish on the subject")
	errReplayed = errors.New("it was signed long before it was stored: it was published again")
	errSubject  = errors.New("its body does not match its subject")
)

// sign signs a message if the client has a key and the message belongs to a signed stream.
func (m *Mesh) sign(ctx context.Context, msg *nats.Msg) error {
	signer := m.keys.current().signer
	subject, signed := signedSubject(msg.Subject)
	if signer == nil || !signed {
		return nil
	}
	if !mayPublish(m.name, subject) {
		return fmt.Errorf("sign the message on %s: readers would refuse it, since %s may not publish there",
			msg.Subject, m.name)
	}
	now, err := m.clock.Now(ctx)
	if err != nil {
		return fmt.Errorf("sign the message on %s: %w", msg.Subject, err)
	}
	var after uint64
	if strings.HasPrefix(subject, "catalog.") {
		after = m.catalogEnd.Load()
	}
	msg.Header.Set(SignatureHeader, signer.Sign(m.name, signedParts(subject, msg.Header, msg.Data), now, after))
	return nil
}

func signedParts(subject string, h nats.Header, body []byte) signing.Message {
	return signing.Message{
		Subject: subject,
		ID:      h.Get(jetstream.MsgIDHeader),
		Version: h.Get(VersionHeader),
		Body:    body,
	}
}

// authentic returns an error if a message is not from a trusted writer. It returns nil if signatures are not checked.
func (m *Mesh) authentic(subject string, h nats.Header, body []byte, stored time.Time) error {
	_, err := m.verify(subject, h, body, stored)
	return err
}

// Authenticate returns the signature of a stored message of a stream. It returns an error if the message is not from a
// writer that this client trusts. The signature is empty if the client does not check signatures, see Signatures.
func (m *Mesh) Authenticate(subject string, msg *jetstream.RawStreamMsg) (signing.Signature, error) {
	return m.verify(subject, msg.Header, msg.Data, time.Time{})
}

// IsPrompt reports whether a message was stored soon after it was signed. If not, it was published again.
func IsPrompt(msg *jetstream.RawStreamMsg, signature signing.Signature) bool {
	return msg.Time.Sub(signature.At).Abs() <= maxStoreDelay
}

// IsCurrent reports whether a stored message is signed as this client would sign it now. signature is what Authenticate
// returned for the message; if it is empty, the message's signature is checked against the client's own key. It returns
// true if the client signs nothing.
func (m *Mesh) IsCurrent(subject string, msg *jetstream.RawStreamMsg, signature signing.Signature) bool {
	now := m.keys.current()
	switch {
	case now.signer == nil:
		return true
	case signature.Key != "":
		return signature.Key == now.public.ID()
	}
	own := signing.Trusted{m.name: {now.public}}
	_, err := own.Verify(msg.Header.Get(SignatureHeader), signedParts(subject, msg.Header, msg.Data))
	return err == nil
}

// verify is authentic, and also returns the signature. The signature is empty if signatures are not checked.
func (m *Mesh) verify(subject string, h nats.Header, body []byte, stored time.Time) (signing.Signature, error) {
	subject, signed := signedSubject(subject)
	trusted := m.keys.current().trusted
	if trusted == nil || !signed {
		return signing.Signature{}, nil
	}
	text, parts := h.Get(SignatureHeader), signedParts(subject, h, body)
	s, err := trusted.Verify(text, parts)
	if errors.Is(err, signing.ErrUnknownKey) {
		// The key may have been added to the file a moment ago.
		s, err = m.keys.readWithin(unknownKeyInterval).trusted.Verify(text, parts)
	}
	switch {
	case err != nil:
		return signing.Signature{}, err
	case !mayPublish(s.Role, subject):
		return signing.Signature{}, errRole
	case strings.HasPrefix(subject, "command.") && stored.Sub(s.At) > maxCommandAge:
		return signing.Signature{}, errReplayed
	default:
		return s, nil
	}
}

// checkSubject returns an error if signatures are checked and a message's body does not match its subject. A key that
// may sign one kind of command must not give another. The observed state of one product must not pass for that of
// another.
func (m *Mesh) checkSubject(subject string, body proto.Message) error {
	if m.keys.current().trusted == nil {
		return nil
	}
	switch body := body.(type) {
	case *meshv1.Command:
		tokens := strings.Split(subject, ".")
		if len(tokens) < 4 || verbOf(body) != tokens[3] || body.GetAccount() != tokens[2] {
			return errSubject
		}
		return nil
	case *catalogv1.ProductChange:
		return checkProduct(subject, body.GetAccount(), body.GetProductId())
	case *catalogv1.Observed:
		return checkProduct(subject, body.GetAccount(), body.GetProductId())
	case *meshv1.Retry:
		return checkProduct(subject, body.GetAccount(), body.GetProductId())
	default:
		return nil
	}
}

func checkProduct(subject, account, product string) error {
	if subjectAttributes(subject).Account != account || topology.LastToken(subject) != topology.Token(product) {
		return errSubject
	}
	return nil
}

// refuse terminates a message that is not authentic. It writes no dead letter: otherwise a forger could fill DEAD.
func (m *Mesh) refuse(ctx context.Context, stream string, raw jetstream.Msg, why error) {
	m.CountRefusal(ctx, stream, raw.Subject(), why)
	if err := raw.TermWithReason("not authentic: " + why.Error()); err != nil {
		m.logger.WarnContext(ctx, "could not refuse a message; it will be redelivered", "subject", raw.Subject(),
			"error", err)
	}
}

// refusals limits the log of refused messages to one line a minute.
type refusals struct {
	mu         sync.Mutex
	loggedAt   time.Time
	suppressed int
}

const refusalLogInterval = time.Minute

// CountRefusal counts a stored message that a reader refused, and logs it at most once a minute.
func (m *Mesh) CountRefusal(ctx context.Context, stream, subject string, why error) {
	metrics.Refused.Add(ctx, 1, metrics.Stream.Of(stream), metrics.Refusal.Of(refusalLabel(why)))
	r := &m.refusals
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.loggedAt) < refusalLogInterval {
		r.suppressed++
		return
	}
	m.logger.ErrorContext(ctx, "message refused: it is not from a trusted writer; see docs/security.md",
		"stream", stream, "subject", subject, "reason", why, "refused_since_last_told", r.suppressed)
	r.loggedAt, r.suppressed = time.Now(), 0
}

// refusalLabel returns the reason's value of the metrics' label.
func refusalLabel(why error) string {
	switch {
	case errors.Is(why, errRepublished):
		return "republished"
	case errors.Is(why, signing.ErrUnsigned):
		return "unsigned"
	case errors.Is(why, signing.ErrUnknownKey):
		return "unknown_key"
	case errors.Is(why, errRole):
		return "role"
	case errors.Is(why, errReplayed):
		return "replayed"
	case errors.Is(why, errSubject):
		return "subject"
	default:
		return "invalid"
	}
}
