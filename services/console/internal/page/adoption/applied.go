package adoption

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/live"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/console/internal/web"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// maxBatch is the largest batch whose progress is shown.
const maxBatch = 100_000

// batchOf is a number of adoptions that were ordered together.
type batchOf struct {
	id string
	// ids is how many ids the batch has, and orders how many of them were ordered.
	ids, orders int
}

var batchID = regexp.MustCompile(`^[A-Za-z0-9]{1,60}$`)

func (b batchOf) path() string {
	return "/adoption/applied?" + url.Values{
		"batch": {b.id}, "ids": {strconv.Itoa(b.ids)}, "orders": {strconv.Itoa(b.orders)},
	}.Encode()
}

func parseBatch(v url.Values) (batchOf, error) {
	ids, err1 := strconv.Atoi(v.Get("ids"))
	orders, err2 := strconv.Atoi(v.Get("orders"))
	b := batchOf{id: v.Get("batch"), ids: ids, orders: orders}
	if err1 != nil || err2 != nil || !batchID.MatchString(b.id) || ids < 1 || ids > maxBatch || orders < 0 ||
		orders > ids {
		return b, connect.NewError(connect.CodeNotFound,
			errors.New("there is no batch of adoptions with this address"))
	}
	return b, nil
}

// outcome is what has become of a batch.
type outcome struct {
	batchOf
	adopted int
	refused []*controlv1.Adoption
	// stopped says why push does not adopt now, empty if it does as far as is known.
	stopped string
}

func (o outcome) done() int    { return o.adopted + len(o.refused) }
func (o outcome) waiting() int { return max(o.orders-o.done(), 0) }

// words returns the progress in words.
func (o outcome) words() string {
	return fmt.Sprintf("%s of %s", view.Count(uint64(o.done())), view.Count(uint64(o.orders)))
}

func showApplied(v *web.Visit) (view.Page, error) {
	b, err := parseBatch(v.URL.Query())
	if err != nil {
		return view.Page{}, err
	}
	o := outcome{batchOf: b}
	for first := 0; first < b.ids; first += maxEntries {
		request := &controlv1.ListAdoptionsRequest{}
		for i := first; i < min(first+maxEntries, b.ids); i++ {
			request.Ids = append(request.Ids, fmt.Sprintf("%s-%d", b.id, i))
		}
		answer, err := v.Control.ListAdoptions(v.Context(), connect.NewRequest(request))
		if err != nil {
			return view.Page{}, err
		}
		for _, a := range answer.Msg.GetAdoptions() {
			if a.GetRefused() {
				o.refused = append(o.refused, a)
			} else {
				o.adopted++
			}
		}
	}
	// The page stays live: the script looks for the part that it replaces.
	refresh := live.Status
	if o.waiting() > 0 {
		refresh = view.Again
		status, err := v.Control.GetStatus(v.Context(), connect.NewRequest(&controlv1.GetStatusRequest{}))
		if err != nil {
			return view.Page{}, err
		}
		o.stopped = stopped(status.Msg)
	}
	return view.Page{Title: "Adoption", Section: "/adoption", Body: applied(o), Live: refresh}, nil
}

// stopped returns why push adopts nothing now, or "".
func stopped(s *controlv1.GetStatusResponse) string {
	if s.GetHalted() != "" {
		return "push is halted: " + s.GetHalted()
	}
	if slices.ContainsFunc(s.GetPaused(), func(p *controlv1.PausedService) bool {
		return p.GetService() == topology.Push
	}) {
		return "push is paused"
	}
	for _, service := range s.GetServices() {
		if service.GetService() == topology.Push && service.GetRunning() == 0 {
			return "no process of push is known to run"
		}
	}
	return ""
}
