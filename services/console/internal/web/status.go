package web

import (
	"strings"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/auth"
)

// headerRead is in requests of a live page that reads itself again: the mark of the status that it shows, and the mark
// of the one that it was told about. See live.Hub.
const headerRead = "Driftless-Read"

// ReadStatus returns the status of the mesh, and its mark for the page. Pages that read themselves again after an event
// share the reading that caused the event, if it is later than what each of them shows. All others get a reading that
// begins after their request, so visitors see what they have done.
func ReadStatus(v *Visit) (status *controlv1.GetStatusResponse, mark string, err error) {
	marks := strings.Fields(v.Header.Get(headerRead))
	if len(marks) == 2 && v.Chrome.Role >= auth.Read {
		if status, mark = v.hub.Status(marks...); status != nil {
			return status, mark, nil
		}
	}
	answer, err := v.Control.GetStatus(v.Context(), connect.NewRequest(&controlv1.GetStatusRequest{}))
	if err != nil {
		return nil, "", err
	}
	// The answer is complete, so a reading that begins later has at least what it has.
	return answer.Msg, v.hub.Mark(), nil
}
