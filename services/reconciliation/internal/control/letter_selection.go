package control

import (
	"context"
	"slices"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/reconciliation/internal/ledger"
)

// selectedLetters are the letters of one call that replays or drops.
type selectedLetters struct {
	letters []*meshv1.DeadLetter
	// missing are named products that have no such letter.
	missing []string
	// more reports whether there are more letters.
	more bool
	// matched is the page of a selection by a filter.
	matched *controlv1.MatchedProducts
}

// selectLetters returns the letters of a selection, at most about maxLettersPerCall.
func (c control) selectLetters(ctx context.Context, s *controlv1.DeadLetterSelection) (selectedLetters, error) {
	isOther := len(s.GetProductIds()) > 0 || s.GetReason() != "" || s.GetService() != "" || s.GetAll()
	switch {
	case s.GetMatching() != nil && (isOther || s.Field != nil || s.GetAfter() != ""):
		return selectedLetters{}, invalid("selection.matching: cannot be given with other fields")
	case s.GetMatching() != nil:
		return c.matchingLetters(ctx, s.GetMatching())
	case !isOther:
		return selectedLetters{}, invalid("selection: is empty: set product_ids, reason, service, matching or all")
	}
	letters, more, err := c.Ledger.DeadLettersByProduct(ctx, ledger.Letters{
		Products: s.GetProductIds(),
		Reason:   s.GetReason(),
		Service:  s.GetService(),
		Field:    s.Field,
		After:    s.GetAfter(),
	}, maxLettersPerCall)
	if err != nil {
		return selectedLetters{}, unavailable(err)
	}
	out := selectedLetters{letters: letters, more: more}
	for _, id := range s.GetProductIds() {
		found := slices.ContainsFunc(letters, func(l *meshv1.DeadLetter) bool { return l.GetProductId() == id })
		later := more && id > letters[len(letters)-1].GetProductId()
		if !found && !later && id > s.GetAfter() && !slices.Contains(out.missing, id) {
			out.missing = append(out.missing, id)
		}
	}
	return out, nil
}

// matchingLetters returns the letters of a page of the products that match: all of them, or those with the reasons that
// the filter names.
func (c control) matchingLetters(ctx context.Context, m *controlv1.MatchingProducts) (selectedLetters, error) {
	page, err := c.matching(ctx, m, ledger.HasLetter)
	if err != nil || len(page.ids) == 0 {
		return selectedLetters{matched: page.answer}, err
	}
	out := selectedLetters{matched: page.answer}
	of := ledger.Letters{Products: page.ids}
	for more := true; more; {
		var letters []*meshv1.DeadLetter
		if letters, more, err = c.Ledger.DeadLettersByProduct(ctx, of, maxLettersPerCall); err != nil {
			return selectedLetters{}, unavailable(err)
		}
		for _, l := range letters {
			of.After = l.GetProductId()
			if reasons := page.filter.DeadReasons; len(reasons) == 0 || slices.Contains(reasons, l.GetReason()) {
				out.letters = append(out.letters, l)
			}
		}
	}
	return out, nil
}

// GroupDeadLetters returns the open dead letters in groups.
func (c control) GroupDeadLetters(ctx context.Context,
	req *connect.Request[controlv1.GroupDeadLettersRequest],
) (*connect.Response[controlv1.GroupDeadLettersResponse], error) {
	groups, total, err := c.Ledger.LetterGroups(ctx, req.Msg.GetService(), req.Msg.GetReason())
	if err != nil {
		return nil, unavailable(err)
	}
	out := &controlv1.GroupDeadLettersResponse{Total: total}
	for _, g := range groups {
		g.Example.Payload = nil
		out.Groups = append(out.Groups, &controlv1.DeadLetterGroup{
			Service:  g.Service,
			Reason:   g.Reason,
			Field:    g.Field,
			Count:    g.N,
			OldestAt: timestamppb.New(g.Oldest),
			LatestAt: timestamppb.New(g.Latest),
			Example:  g.Example,
		})
	}
	return connect.NewResponse(out), nil
}
