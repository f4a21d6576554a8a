package cli

import (
	"fmt"
	"strings"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
)

// readsFor lists the purposes of reads: " (9000 scan, 700 events)".
func readsFor(purposes []*controlv1.ReadPurpose) string {
	if len(purposes) == 0 {
		return ""
	}
	parts := make([]string, len(purposes))
	for i, p := range purposes {
		parts[i] = fmt.Sprintf("%d %s", p.GetReads(), p.GetPurpose())
	}
	return " (" + strings.Join(parts, ", ") + ")"
}
