// Package view has what the console's pages are made of: the frame around them, and the parts that they share. It only
// renders: it asks no API.
package view

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/driftless-sync/driftless/services/console/internal/static"
	"github.com/driftless-sync/driftless/services/internal/auth"
)

// Chrome is what the frame of a page, and its parts, know of the visitor and the request.
type Chrome struct {
	// Base is the path of the console without a slash at its end: "" or "/driftless".
	Base string
	// Path is the path of the request, without Base, and with its query.
	Path string
	// Account is the name of the Stripe account.
	Account string
	// Name and Role are the visitor's. Name is empty if nobody is signed in.
	Name string
	Role auth.Role
	// Open reports that the APIs require no token, so that everybody may do everything.
	Open bool
	// FormToken is the value that forms must send.
	FormToken string
	// Theme is light, dark or "" for the browser's.
	Theme string
	// Flash is the result of the visitor's last action.
	Flash *Flash
	Now   time.Time
	// JaegerURL and StripeURL are the addresses of Jaeger and of Stripe's dashboard, without a slash at their end.
	// Empty if there is none.
	JaegerURL, StripeURL string
}

// IsKnown reports whether the APIs have said who the visitor is.
func (c *Chrome) IsKnown() bool { return c.Name != "" || c.Open }

// IsSignedIn reports whether the visitor has signed in. While the APIs are away, it is not known as whom.
func (c *Chrome) IsSignedIn() bool { return c.IsKnown() || c.FormToken != "" }

// Flash is the result of an action, to be shown once.
type Flash struct {
	Text string `json:"text"`
	// Failed reports that the action failed.
	Failed bool `json:"failed,omitempty"`
	// Command is the command that does the same.
	Command string `json:"command,omitempty"`
}

// Slowly among the events of Page.Live also reads the page again every ten seconds, for what no event tells.
const Slowly = "slowly"

// Again as Page.Live reads the page again every few seconds, without events.
const Again = "again"

type chromeKey struct{}

// With returns a context in which parts are rendered for a request.
func With(ctx context.Context, c *Chrome) context.Context {
	return context.WithValue(ctx, chromeKey{}, c)
}

// From returns the Chrome of the context. It returns an empty one if there is none.
func From(ctx context.Context) *Chrome {
	if c, ok := ctx.Value(chromeKey{}).(*Chrome); ok {
		return c
	}
	return &Chrome{}
}

// URL returns the address of a path of the console.
func URL(ctx context.Context, path string) templ.SafeURL {
	return templ.SafeURL(From(ctx).Base + path)
}

// Can reports whether the visitor has the role.
func Can(ctx context.Context, role auth.Role) bool { return From(ctx).Role >= role }

func asset(ctx context.Context, name string) string { return From(ctx).Base + static.Path(name) }

// Page is a page of the console.
type Page struct {
	Title string
	// Section is the path of the entry in the navigation that the page belongs to: "/products".
	Section string
	Body    templ.Component
	// Command is the command that prints the same.
	Command string
	// Live are the events, separated by commas, after which the page is read again: status, activity.
	Live string
	// Read is the mark of the status that the page shows: see live.Hub. Empty if it shows none.
	Read string
	// Status is the HTTP status. 0 is 200.
	Status int
	// Redirect is the path to go to instead. Nothing is shown then.
	Redirect string
}

// section is an entry of the navigation.
type section struct {
	path, title, key string
}

// sections are the entries of the navigation. A visitor presses g and then the key to go there.
var sections = []section{
	{"/", "Now", "n"},
	{"/products", "Products", "p"},
	{"/activity", "Activity", "a"},
	{"/plan", "Plan", "l"},
	{"/drift", "Drift", "d"},
	{"/dead", "Dead letters", "x"},
	{"/scans", "Scans", "s"},
	{"/adoption", "Adoption", "o"},
	{"/settings", "Settings", "t"},
}

// triggers returns htmx's trigger for events: "sse:status, sse:activity". The server sends events that follow each
// other at once together, and the delay makes one request of them.
func triggers(live string) string {
	if live == Again {
		return "every 3s"
	}
	// The script asks for a refresh that it had to put off.
	parts := []string{"refresh"}
	for event := range strings.SplitSeq(live, ",") {
		if event == Slowly {
			parts = append(parts, "every 10s")
		} else {
			parts = append(parts, "sse:"+event+" delay:20ms")
		}
	}
	return strings.Join(parts, ", ")
}

// ProductPath returns the path of a product's page.
func ProductPath(id string) string { return "/products/" + url.PathEscape(id) }
