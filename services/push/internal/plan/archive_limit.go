package plan

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
)

// ArchiveLimit limits how many products may be archived within an hour without an operator's approval.
type ArchiveLimit struct {
	// Share is the part of the products active in Stripe that may be archived, between 0 and 1. 0 means no limit.
	Share float64
	// Minimum is how many products may be archived whatever the share.
	Minimum uint64
}

const (
	// guardWindow is the time in which archived products are counted.
	guardWindow = time.Hour
	// maxRecent and maxHeld bound the size of the record.
	maxRecent = 1000
	maxHeld   = 1000
)

// NeedsCount reports whether the number of active products matters. Up to the minimum the share does not.
func (l ArchiveLimit) NeedsCount(g *meshv1.Guard) bool { return g.GetArchived() >= l.Minimum }

// Admit counts a product that is to be archived, or adds it to the held ones and returns why. It changes the record in
// place. products is the number of products that the share applies to.
func (l ArchiveLimit) Admit(g *meshv1.Guard, product string, products uint64, now time.Time) (why string, ok bool) {
	if g.GetSince() == nil || now.Sub(g.GetSince().AsTime()) > guardWindow && len(g.GetHeld()) == 0 {
		g.Since, g.Archived, g.Recent = timestamppb.New(now), 0, nil
	}
	g.Products, g.Allowed = products, max(l.Minimum, uint64(l.Share*float64(products)))
	approved := g.GetApprovedUntil() != nil && now.Before(g.GetApprovedUntil().AsTime())
	if slices.Contains(g.GetRecent(), product) {
		return "", true
	}
	if !approved && g.GetArchived() >= g.GetAllowed() {
		if len(g.GetHeld()) == 0 {
			g.HeldSince = timestamppb.New(now)
		}
		if !slices.Contains(g.GetHeld(), product) && len(g.GetHeld()) < maxHeld {
			g.Held = append(g.Held, product)
		}
		return fmt.Sprintf("%d of %d products were archived within an hour: "+
			"the product is held until `driftless approve`, or until the catalog wants it again",
			g.GetArchived(), products), false
	}
	g.Archived++
	g.Recent = append(g.Recent, product)
	if over := len(g.GetRecent()) - maxRecent; over > 0 {
		g.Recent = g.GetRecent()[over:]
	}
	ReleaseHeld(g, product)
	return "", true
}

// ReleaseHeld removes a product from the held ones, in place. It reports whether the product was held.
func ReleaseHeld(g *meshv1.Guard, product string) bool {
	held := len(g.GetHeld())
	g.Held = slices.DeleteFunc(g.Held, func(id string) bool { return id == product })
	return len(g.GetHeld()) < held
}
