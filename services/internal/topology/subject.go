package topology

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// Lane separates changes that someone waits for from those that can wait.
type Lane string

const (
	// Live has changes as they are committed.
	Live Lane = "live"
	// Bulk has snapshots and backfills.
	Bulk Lane = "bulk"
)

// Lanes lists all lanes.
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
	VerbApprove   = "approve"
	VerbReadUsage = "read-usage"
)

// RetryOverlap is the name in subjects of RETRY of the syncs that end overlaps of prices. It is in the place of a
// service's.
const RetryOverlap = "overlap"

// Token encodes an id as one subject token that is also a valid bucket key. Letters, digits, "-" and "_" stay; every
// other byte becomes "=" and two hexadecimal digits. A token longer than maxTokenBytes is replaced by its beginning,
// "==" and the id's SHA-256. No other token has "==". Distinct ids have distinct tokens.
func Token(id string) string {
	token := escape(id)
	if len(token) <= maxTokenBytes {
		return token
	}
	sum := sha256.Sum256([]byte(id))
	return token[:maxTokenBytes-len(hashSeparator)-2*len(sum)] + hashSeparator + hex.EncodeToString(sum[:])
}

// maxTokenBytes keeps subjects far below the server's limit of a line, 4096 bytes by default. The server closes the
// connection of a client that sends a longer one, and the ids of products are user input.
const maxTokenBytes = 512

// hashSeparator separates the beginning of an id from its hash.
const hashSeparator = "=="

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

// ParseToken returns the id from which Token made the token. It returns "" for a shortened token: then only the
// message's body has the id. A text that Token would not make is returned as it is.
func ParseToken(token string) string {
	if token == "=" || strings.Contains(token, hashSeparator) {
		return ""
	}
	id, err := url.PathUnescape(strings.ReplaceAll(token, "=", "%"))
	if err != nil || Token(id) != token {
		return token
	}
	return id
}

// CatalogSubject returns the subject of a product's desired state.
func CatalogSubject(account string, lane Lane, product string) string {
	return "catalog." + account + "." + string(lane) + "." + Token(product)
}

// FenceSubject returns the subject of a lane's fence; see mesh.Fence.
func FenceSubject(account string, lane Lane) string {
	return "fence." + account + "." + string(lane)
}

// StripeSubject returns the subject of Stripe's events about a product.
func StripeSubject(account, product string) string {
	return "stripe." + account + "." + Token(product)
}

// SyncSubject returns the subject of an outcome.
func SyncSubject(account string, kind meshv1.OutcomeKind, product string) string {
	return "sync." + account + "." + OutcomeName(kind) + "." + Token(product)
}

// OutcomeName returns the outcome's token in subjects. Metrics and the command line use the same name.
func OutcomeName(kind meshv1.OutcomeKind) string {
	return strings.ToLower(strings.TrimPrefix(kind.String(), "OUTCOME_KIND_"))
}

// DeadSubject returns the subject of a service's dead letter about a product. The id is the product's, or that of the
// letter, which mesh.FitLetter may have shortened.
func DeadSubject(service, account, product string) string {
	return "dead." + service + "." + account + "." + Token(FitID(product))
}

// CommandSubject returns the subject of a command to a service. product is empty for a verb that concerns the whole
// account.
func CommandSubject(service, account, verb, product string) string {
	s := "command." + service + "." + account + "." + verb
	if product != "" {
		s += "." + Token(product)
	}
	return s
}

// EventsSubject returns the subject of the events of a kind, such as price.live.
func EventsSubject(account, kind string) string { return "events." + account + "." + kind }

// SplitSubject returns the kind of a subject and the rest. The kind is the first token, or the lower-case name of the
// bucket.
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
