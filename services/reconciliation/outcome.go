package reconciliation

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// maxDetail bounds the detail of an outcome that is too large, in bytes.
const maxDetail = 8 << 10

// fitOutcome shortens an outcome to at most maxSize bytes, so that NATS accepts it. If NATS refused it, the drift that
// it reports could never be stored. The detail says how many differences are left out.
func fitOutcome(o *meshv1.Outcome, maxSize int) {
	if proto.Size(o) <= maxSize {
		return
	}
	if end := maxDetail; len(o.GetDetail()) > end {
		for !utf8.RuneStart(o.GetDetail()[end]) {
			end--
		}
		o.Detail = strings.TrimRight(o.GetDetail()[:end], "; ") + " ..."
	}
	all := len(o.GetDifferences())
	// 100 bytes are reserved for the remark.
	for n := all; n > 0 && proto.Size(o)+100 > maxSize; {
		n /= 2
		o.Differences = o.GetDifferences()[:n]
	}
	if left := all - len(o.GetDifferences()); left > 0 {
		o.Detail += fmt.Sprintf(" (%d of %d differences are left out)", left, all)
	}
}
