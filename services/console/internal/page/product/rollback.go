package product

import (
	"strconv"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/console/internal/web"
)

// showRollback shows what a rollback would do, before anybody can order it.
func showRollback(v *web.Visit) (view.Page, error) {
	id := v.PathValue("id")
	to, err := strconv.ParseUint(v.URL.Query().Get("to"), 10, 64)
	if err != nil {
		return view.Page{}, invalid("the address must name the version to go back to: ?to=VERSION")
	}
	answer, err := v.Control.Rollback(v.Context(), connect.NewRequest(&controlv1.RollbackRequest{
		ProductId: id,
		To:        &controlv1.RollbackRequest_Version{Version: to},
		DryRun:    true,
	}))
	if err != nil {
		return view.Page{}, err
	}
	return view.Page{
		Title:   "Roll back " + id,
		Section: "/products",
		Body:    rollbackPage(answer.Msg, to),
		Command: command("rollback", id, "--to "+strconv.FormatUint(to, 10)+" --dry-run"),
	}, nil
}

func rollbackPath(id string, version uint64) string {
	return view.ProductPath(id) + "/rollback?to=" + strconv.FormatUint(version, 10)
}
