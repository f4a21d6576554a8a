package stripeprobe

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/redact"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
)

// WebhookNeeds is what an endpoint needs to have.
type WebhookNeeds struct {
	// Account is the name of the mesh's account, and Path the path that pull serves.
	Account, Path string
	// DefaultVersion is the version of an endpoint that names none, empty if unknown.
	DefaultVersion string
}

// Own returns the endpoints that are for this mesh: those that were created for its account, or else those that lead to
// the path that pull serves.
func (n WebhookNeeds) Own(all []stripeapi.Endpoint) []stripeapi.Endpoint {
	var created, path []stripeapi.Endpoint
	for _, e := range all {
		account := e.Metadata[stripeapi.EndpointAccountKey]
		u, err := url.Parse(e.URL)
		switch {
		case account == n.Account:
			created = append(created, e)
		case account == "" && err == nil && strings.HasSuffix(u.Path, n.Path):
			path = append(path, e)
		}
	}
	if len(created) > 0 {
		return created
	}
	return path
}

// endpointFault is a fault of an endpoint.
type endpointFault struct{ id, fix, message string }

func (n WebhookNeeds) faults(e stripeapi.Endpoint) (out []endpointFault) {
	repair := repairOf(e)
	if !e.IsEnabled() {
		out = append(out,
			endpointFault{doctor.StripeWebhookStatus, repair, "webhook endpoint " + e.ID + " is " + e.Status})
	}
	if missing := e.MissingEvents(); len(missing) > 0 {
		out = append(out, endpointFault{
			doctor.StripeWebhookEvents, repair,
			"webhook endpoint " + e.ID + " does not get " + strings.Join(missing, ", "),
		})
	}
	version := e.APIVersion
	if version == "" {
		version = n.DefaultVersion
	}
	if version != stripeapi.PinnedVersion {
		if version == "" {
			version = "of the account's default"
		}
		out = append(out, endpointFault{
			doctor.StripeWebhookVersion, "driftless webhook rotate " + e.ID,
			fmt.Sprintf("webhook endpoint %s sends API version %s, and pull reads %s", e.ID, version,
				stripeapi.PinnedVersion),
		})
	}
	if why := n.wrongURL(e); why != "" {
		out = append(out,
			endpointFault{
				doctor.StripeWebhookURL, "",
				"webhook endpoint " + e.ID + " sends to " + redact.URL(e.URL) + ", " + why,
			})
	}
	return out
}

// repairOf returns what repairs an endpoint. Everybody who may read the status sees it, and an address may have a
// password or a token.
func repairOf(e stripeapi.Endpoint) string {
	if redact.URL(e.URL) != e.URL {
		return "Run driftless webhook create with the address of endpoint " + e.ID +
			". It may have a secret, so it is not shown here."
	}
	return "driftless webhook create " + quoteShell(e.URL)
}

// wrongURL returns why Stripe's calls do not arrive at an endpoint's address, or "".
func (n WebhookNeeds) wrongURL(e stripeapi.Endpoint) string {
	u, err := url.Parse(e.URL)
	switch {
	case err != nil:
		return "which is no address"
	case e.Livemode && u.Scheme != "https":
		return "and in live mode Stripe calls only https:// addresses"
	case !strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), n.Path):
		return "and pull serves " + n.Path
	}
	return ""
}

// JudgeWebhooks records the faults of the endpoints. One endpoint without a fault is enough. It returns the endpoint
// that serves the mesh best, nil if none does.
func JudgeWebhooks(r *doctor.Recorder, n WebhookNeeds, all []stripeapi.Endpoint) *stripeapi.Endpoint {
	own := n.Own(all)
	if len(own) == 0 {
		r.Foundf(doctor.StripeWebhook, "",
			"none of the %d webhook endpoints in Stripe is for account %s, or leads to %s",
			len(all),
			n.Account, n.Path)
		r.Settled("there is no endpoint", doctor.StripeWebhookStatus, doctor.StripeWebhookEvents,
			doctor.StripeWebhookVersion,
			doctor.StripeWebhookURL)
		return nil
	}
	best := slices.MinFunc(own, func(a, b stripeapi.Endpoint) int { return len(n.faults(a)) - len(n.faults(b)) })
	r.Sawf(doctor.StripeWebhook, "%s", best.ID)
	r.Sawf(doctor.StripeWebhookURL, "%s", redact.URL(best.URL))
	for _, f := range n.faults(best) {
		r.Foundf(f.id, f.fix, "%s", f.message)
	}
	return &best
}
