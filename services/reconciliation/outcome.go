package reconciliation

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// longestDetail bounds the words of an outcome that is too large, in bytes.
const longestDetail = 8 << 10

// fitOutcome makes an outcome one that NATS takes, of at most so many bytes: one that it refused would keep the drift
// that it tells of from being stored, again and again. It says how many differences it has left out.
func fitOutcome(o *meshv1.Outcome, most int) {
	if proto.Size(o) <= most {
		return
	}
	if end := longestDetail; len(o.GetDetail()) > end {
		for !utf8.RuneStart(o.GetDetail()[end]) {
			end--
		}
		o.Detail = strings.TrimRight(o.GetDetail()[:end], "; ") + " ..."
	}
	all := len(o.GetDifferences())
	// The room is for the remark.
	for n := all; n > 0 && proto.Size(o)+100 > most; {
		n /= 2
		o.Differences = o.GetDifferences()[:n]
	}
	if left := all - len(o.GetDifferences()); left > 0 {
		o.Detail += fmt.Sprintf(" (%d of %d differences are left out)", left, all)
	}
}
