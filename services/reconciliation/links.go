package reconciliation

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

const (
	// linkInterval is how often the process looks whether LINK is another bucket than before.
	linkInterval = 2 * time.Second
	// missingLinkInterval is how often it looks for links that were missing.
	missingLinkInterval = 30 * time.Second
)

// watchLinks checks that LINK has the links of all adopted products, until ctx ends. It does so at the start, and when
// the bucket was made again or restored from an older copy. Without its link, pull takes an edit of an adopted product
// in Stripe for that of another product, so nobody knows what Stripe holds of it.
func (r *reconciler) watchLinks(ctx context.Context) error {
	ticker := time.NewTicker(linkInterval)
	defer ticker.Stop()
	links := linkCheck{reconciler: r}
	for outage := (&mesh.Outage{}); ; {
		if err := links.check(ctx); ctx.Err() == nil && outage.ShouldLog(err) {
			r.Logger.WarnContext(ctx, "could not check the links of adopted products; retrying", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// linkCheck knows the bucket LINK as it was at the last look.
type linkCheck struct {
	*reconciler

	created time.Time
	last    uint64
	// checked is when the links were looked for.
	checked time.Time
}

func (c *linkCheck) check(ctx context.Context) error {
	now, err := c.mesh.StreamState(ctx, "KV_"+topology.BucketLink)
	if err != nil {
		return err
	}
	isOther := !now.Created.Equal(c.created) || now.Last < c.last
	isDue := c.linksMissing.Load() != nil && time.Since(c.checked) >= missingLinkInterval
	if isOther || isDue {
		missing, err := c.missing(ctx)
		if err != nil {
			return err
		}
		if before := c.linksMissing.Swap(missing); missing != nil && before == nil {
			c.Logger.ErrorContext(ctx, "LINK lacks links of adopted products", "account", c.Account, "why", *missing)
		}
		c.checked = time.Now()
	}
	c.created, c.last = now.Created, now.Last
	return nil
}

// missing says which adopted products have no link, nil if each has its link.
func (c *linkCheck) missing(ctx context.Context) (*string, error) {
	adopted, err := c.ledger.Adopted(ctx)
	if err != nil || len(adopted) == 0 {
		return nil, err
	}
	subjects := make([]string, len(adopted))
	for i, a := range adopted {
		subjects[i] = topology.KeyLink.Sub(topology.Token(a.StripeID)).Subject(c.Account)
	}
	count, first := 0, ""
	err = c.mesh.BucketStream(topology.BucketLink).EachLast(ctx, subjects,
		func(i int, msg *jetstream.RawStreamMsg) error {
			if msg != nil && string(msg.Data) == adopted[i].Product {
				return nil
			}
			if count++; first == "" || adopted[i].Product < first {
				first = adopted[i].Product
			}
			return nil
		})
	if err != nil || count == 0 {
		return nil, err
	}
	return new(fmt.Sprintf("the bucket LINK lacks links of adopted products (%d, such as %s), so edits of them in "+
		"Stripe are not noticed: adopt them again (docs/backup.md)", count, first)), nil
}

// linksUnknown returns why it is not known what Stripe holds of adopted products, "" if each has its link.
func (r *reconciler) linksUnknown() string {
	if why := r.linksMissing.Load(); why != nil {
		return *why
	}
	return ""
}
