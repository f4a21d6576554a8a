package validation

import (
	"fmt"
	"strings"

	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// maxJoined is the maximum number of violations that a sentence names.
const maxJoined = 20

// Join writes violations in one line. It names the first ones if there are many.
func Join(violations []catalog.Violation) string {
	lines := make([]string, 0, maxJoined+1)
	for i, v := range violations {
		if i == maxJoined {
			more := fmt.Sprintf("and %d more", len(violations)-i)
			if len(violations) > catalog.MaxViolations {
				more = fmt.Sprintf("and at least %d more", catalog.MaxViolations-i)
			}
			lines = append(lines, more)
			break
		}
		lines = append(lines, v.String())
	}
	return strings.Join(lines, "; ")
}
