package topology

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// Lane separates what people wait for from what can wait.
type Lane string

const (
	// Live carries changes as they are committed.
	Live Lane = "live"
	// Bulk carries snapshots and backfills.
	Bulk Lane = "bulk"
)

var Lanes = []Lane{Live, Bulk}

// Names of services, as they appear in subjects.
const (
	Ingestion      = "ingestion"
	Push           = "push"
	Pull           = "pull"
	Reconciliation = "reconciliation"
)

// Verbs of COMMAND.
const (
	VerbSync      = "sync"
	VerbScan      = "scan"
	VerbRead      = "read"
	VerbBackfill  = "backfill"
	VerbWriteBack = "write-back"
	VerbAdopt     = "adopt"
)

// Token writes an id as one subject token that is also a valid bucket key: letters, digits, "-" and "_" stay,
// every other byte becomes "=" and two hexadecimal digits. What would be longer than longestToken is shortened to its
// beginning, "==" and the id's SHA-256: "==" is in no other token. Distinct ids give distinct tokens.
func Token(id string) string {
	token := escape(id)
	if len(token) <= longestToken {
		return token
	}
	sum := sha256.Sum256([]byte(id))
	return token[:longestToken-len(shortened)-2*len(sum)] + shortened + hex.EncodeToString(sum[:])
}

// longestToken keeps subjects far from what the server takes in a line, 4096 bytes by default: it closes the connection
// of a client that sends a longer one, and the ids of products are anybody's.
const longestToken = 512

// shortened stands between the beginning of an id and its hash.
const shortened = "=="

func escape(id string) string {
	plain := func(c byte) bool {
		return c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	}
	for i := range len(id) {
		if plain(id[i]) {
			continue
		}
		var b strings.Builder
		for j := range len(id) {
			if plain(id[j]) {
				b.WriteByte(id[j])
			} else {
				fmt.Fprintf(&b, "=%02X", id[j])
			}
		}
		return b.String()
	}
	if id == "" {
		return "="
	}
	return id
}

// ParseToken gives the id of which Token made the token, "" if it is shortened: only the message's body tells the id
// then. What Token would not make stays as it is.
func ParseToken(token string) string {
	if token == "=" || strings.Contains(token, shortened) {
		return ""
	}
	id, err := url.PathUnescape(strings.ReplaceAll(token, "=", "%"))
	if err != nil || Token(id) != token {
		return token
	}
	return id
}

// CatalogSubject is where a product's desired state is published.
func CatalogSubject(account string, lane Lane, product string) string {
	return "catalog." + account + "." + string(lane) + "." + Token(product)
}

// FenceSubject is where the fence of a lane is raised; see Fence.
func FenceSubject(account string, lane Lane) string {
	return "fence." + account + "." + string(lane)
}

// StripeSubject is where what Stripe said about a product is published.
func StripeSubject(account, product string) string {
	return "stripe." + account + "." + Token(product)
}

// SyncSubject is where an outcome is published.
func SyncSubject(account string, kind meshv1.OutcomeKind, product string) string {
	return "sync." + account + "." + OutcomeName(kind) + "." + Token(product)
}

// OutcomeName is the outcome's token in subjects, and its name in metrics and on the command line.
func OutcomeName(kind meshv1.OutcomeKind) string {
	return strings.ToLower(strings.TrimPrefix(kind.String(), "OUTCOME_KIND_"))
}

// DeadSubject is where a service's dead letter about a product is published. The id is the product's, or that of the
// letter, which FitLetter may have shortened.
func DeadSubject(service, account, product string) string {
	return "dead." + service + "." + account + "." + Token(FitID(product))
}

// CommandSubject addresses a command to a service; product is empty for a verb that concerns the whole account.
func CommandSubject(service, account, verb, product string) string {
	s := "command." + service + "." + account + "." + verb
	if product != "" {
		s += "." + Token(product)
	}
	return s
}

// SplitSubject returns the kind of a subject, and the rest. The kind of a bucket's subject is the bucket, in lower case.
func SplitSubject(subject string) (first, rest string) {
	first, rest, _ = strings.Cut(subject, ".")
	if first == "$KV" {
		first, _, _ = strings.Cut(rest, ".")
		first = strings.ToLower(first)
	}
	return first, rest
}

// LastToken returns the last token of a subject.
func LastToken(subject string) string {
	return subject[strings.LastIndexByte(subject, '.')+1:]
}
