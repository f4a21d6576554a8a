package notify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/visible"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// Types of notifications.
const (
	typeProblems = "driftless.problems"
	typeTest     = "driftless.test"
)

// maxPayload is the largest payload that a notification carries, in bytes of JSON. There are at most five.
const maxPayload = 8 * 1024

// message is the body of a notification to a webhook. Its form is the one that the Standard Webhooks specification
// recommends, and a contract: docs/notifications.md describes it.
type message struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      data      `json:"data"`
}

type data struct {
	Account string `json:"account"`
	// Problems are grouped by kind.
	Problems []group `json:"problems"`
}

type group struct {
	Kind  string    `json:"kind"`
	Count uint64    `json:"count"`
	First []problem `json:"first"`
}

type problem struct {
	ProductID string    `json:"product_id,omitempty"`
	Since     time.Time `json:"since"`
	// Reason is the class, such as the reason of a dead letter. Message says it in words.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Field, Catalog and Stripe are the difference of drift. Field is also the field of a dead letter.
	Field   string `json:"field,omitempty"`
	Catalog string `json:"catalog,omitempty"`
	Stripe  string `json:"stripe,omitempty"`
	// StripeRequestID is Stripe's id of the request that it refused.
	StripeRequestID string `json:"stripe_request_id,omitempty"`
	// Version is the version of the state that failed, as decimal digits.
	Version string `json:"version,omitempty"`
	// Payload is the product that could not be applied. PayloadOmitted reports that it is too large.
	Payload        json.RawMessage `json:"payload,omitempty"`
	PayloadOmitted bool            `json:"payload_omitted,omitempty"`
	// Command is what shows more.
	Command string `json:"command"`
}

// newMessage makes the message about problems, which are sorted by kind.
func newMessage(account string, at time.Time, problems []ledger.Problem) message {
	m := message{Type: typeProblems, Timestamp: at.UTC(), Data: data{Account: account, Problems: []group{}}}
	for _, p := range problems {
		groups := m.Data.Problems
		if len(groups) == 0 || groups[len(groups)-1].Kind != p.Kind {
			groups = append(groups, group{Kind: p.Kind, Count: p.Count})
		}
		last := &groups[len(groups)-1]
		last.First = append(last.First, newProblem(p))
		m.Data.Problems = groups
	}
	return m
}

func newProblem(p ledger.Problem) problem {
	id := visible.Argument(p.Product)
	out := problem{ProductID: p.Product, Since: p.Since.UTC(), Message: p.Reason, Command: "driftless status"}
	switch p.Kind {
	case ledger.ProblemDeadLetter:
		l := p.Letter
		out.Reason, out.Message, out.Field = l.GetReason(), l.GetMessage(), l.GetField()
		out.StripeRequestID, out.Command = l.GetStripeRequestId(), "driftless dead show "+id
		if l.GetVersion() > 0 {
			out.Version = strconv.FormatUint(l.GetVersion(), 10)
		}
		out.Payload, out.PayloadOmitted = payload(l.GetPayload())
	case ledger.ProblemDrift:
		d := p.Drift
		out.Reason, out.Message, out.Field, out.Catalog, out.Stripe = string(d.Kind), d.Detail, d.Field, d.Catalog,
			d.Stripe
		out.Command = "driftless drift show " + id
	case ledger.ProblemHeld:
		out.Reason = strings.Join(p.Rules, ", ")
		out.Command = "driftless plan " + id
	}
	for _, text := range []*string{&out.Reason, &out.Message, &out.Field, &out.Catalog, &out.Stripe} {
		*text = shortText(*text)
	}
	return out
}

// maxText bounds each text of others, in characters.
const maxText = 300

// shortText returns a text of others as one line of at most maxText characters, in which every character can be seen.
func shortText(s string) string {
	s = visible.Text(s)
	if runes := []rune(s); len(runes) > maxText {
		return string(runes[:maxText-1]) + "…"
	}
	return s
}

// payload returns the product of a dead letter as JSON. Dead letters about other messages have none.
func payload(raw []byte) (product json.RawMessage, omitted bool) {
	change := &catalogv1.ProductChange{}
	if len(raw) == 0 || proto.Unmarshal(raw, change) != nil || change.GetProduct() == nil {
		return nil, false
	}
	body, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(change.GetProduct())
	if err != nil {
		return nil, true
	}
	// protojson's spaces differ from process to process.
	var compact bytes.Buffer
	if json.Compact(&compact, body) != nil || compact.Len() > maxPayload {
		return nil, true
	}
	return compact.Bytes(), false
}

// titles say what happened to one product, or to several.
var titles = map[string][2]string{
	ledger.ProblemDeadLetter: {"1 change could not be applied", "%d changes could not be applied"},
	ledger.ProblemDrift:      {"1 difference needs a decision", "%d differences need a decision"},
	ledger.ProblemHeld:       {"the guard holds 1 change", "the guard holds %d changes"},
	ledger.ProblemHalted:     {"push is halted, because Stripe refuses the key", ""},
	ledger.ProblemCapture:    {"the catalog is not captured", ""},
}

// slackEscaper escapes the characters that have a meaning in Slack's texts. A backtick, which would end the text of a
// command, becomes a character that looks like it.
var slackEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "`", "\u02cb")

// maxSlackMessage bounds the text about one problem, in bytes.
const maxSlackMessage = 300

// slackText returns a message as a text for Slack and compatible services.
func slackText(m message) string {
	var b strings.Builder
	if m.Type == typeTest {
		fmt.Fprintf(&b, "Driftless, account %s: this is a test.", m.Data.Account)
	}
	for _, g := range m.Data.Problems {
		title := titles[g.Kind][0]
		if g.Count > 1 && titles[g.Kind][1] != "" {
			title = fmt.Sprintf(titles[g.Kind][1], g.Count)
		}
		fmt.Fprintf(&b, "*Driftless, account %s: %s*\n", m.Data.Account, title)
		for _, p := range g.First {
			b.WriteString("• " + slackLine(p) + "\n")
		}
		if more := g.Count - uint64(len(g.First)); more > 0 {
			fmt.Fprintf(&b, "• and %d more\n", more)
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

func slackLine(p problem) string {
	text := p.Message
	if p.Reason != "" && text != "" {
		text = p.Reason + ": " + text
	} else if text == "" {
		text = p.Reason
	}
	if p.Catalog != "" || p.Stripe != "" {
		text += fmt.Sprintf(" (%s: catalog %q, Stripe %q)", p.Field, p.Catalog, p.Stripe)
	}
	if len(text) > maxSlackMessage {
		text = strings.ToValidUTF8(text[:maxSlackMessage], "") + "…"
	}
	text = slackEscaper.Replace(strings.Join(strings.Fields(text), " "))
	if p.ProductID != "" {
		text = strings.TrimSuffix("`"+slackEscaper.Replace(visible.Text(p.ProductID))+"` "+text, " ")
	}
	return text + ": `" + slackEscaper.Replace(p.Command) + "`"
}
