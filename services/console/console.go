// Package console serves the pages on which people see the catalog, the difference to Stripe and what happened to every
// change, and act on it. It is a client of the control API and of the ingestion API, as the command line is. It uses no
// NATS, no database and no key of Stripe, and stores nothing.
package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/console/internal/page/activity"
	"github.com/driftless-sync/driftless/services/console/internal/page/adoption"
	"github.com/driftless-sync/driftless/services/console/internal/page/dead"
	"github.com/driftless-sync/driftless/services/console/internal/page/drift"
	"github.com/driftless-sync/driftless/services/console/internal/page/find"
	"github.com/driftless-sync/driftless/services/console/internal/page/now"
	"github.com/driftless-sync/driftless/services/console/internal/page/plan"
	"github.com/driftless-sync/driftless/services/console/internal/page/product"
	"github.com/driftless-sync/driftless/services/console/internal/page/products"
	"github.com/driftless-sync/driftless/services/console/internal/page/scans"
	"github.com/driftless-sync/driftless/services/console/internal/page/settings"
	"github.com/driftless-sync/driftless/services/console/internal/page/story"
	"github.com/driftless-sync/driftless/services/console/internal/session"
	"github.com/driftless-sync/driftless/services/console/internal/web"
	"github.com/driftless-sync/driftless/services/console/openid"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
)

// Config configures the console.
type Config struct {
	// ControlURL and IngestURL are the addresses of the APIs.
	ControlURL, IngestURL string
	// URL is the address under which visitors reach the console. Empty is the address that it listens on.
	URL string
	// SessionKey encrypts sign-ins. It has at least 32 bytes. Empty makes a random one.
	SessionKey string
	// LinkKey is the key of a link that signs in once, with LinkToken. Empty for none.
	LinkKey, LinkToken string
	// OpenID is the OpenID provider. Its Redirect is set by Run. Nil if there is none.
	OpenID *openid.Config
	// Token is the console's own token, a delegate: it acts for visitors of the OpenID provider.
	Token string
	// JaegerURL and StripeURL are the addresses of Jaeger and of Stripe's dashboard. Empty if there is none.
	JaegerURL, StripeURL string
	// Settings are those of this process, without secrets. Nil if they are not known.
	Settings []*meshv1.Setting
	HTTP     httpserver.Config
	Logger   *slog.Logger
}

// Run serves until ctx ends. It returns nil after a graceful stop.
func Run(ctx context.Context, cfg Config) error {
	base, secure, err := parseURL(cfg.URL)
	if err != nil {
		return err
	}
	sessions, err := session.New(cfg.SessionKey, base+"/", secure, time.Now)
	if err != nil {
		return err
	}
	if cfg.SessionKey == "" {
		cfg.Logger.Info("there is no session key (DRIFTLESS_CONSOLE_SESSION_KEY): sign-ins end with this process, " +
			"and are valid only on this replica")
	}
	apis := web.NewAPIs(cfg.ControlURL, cfg.IngestURL, cfg.Token, time.Now)
	provider, err := newProvider(cfg)
	if err != nil {
		return err
	}
	// Streams to browsers end with ctx, before the server waits for its requests.
	app := web.New(ctx, web.Config{
		Base:      base,
		APIs:      apis,
		Sessions:  sessions,
		Link:      cfg.LinkKey,
		LinkToken: cfg.LinkToken,
		OpenID:    provider,
		JaegerURL: strings.TrimRight(cfg.JaegerURL, "/"),
		StripeURL: strings.TrimRight(cfg.StripeURL, "/"),
		Now:       time.Now,
		Logger:    cfg.Logger,
	})
	addPages(app, cfg.Settings)

	cfg.HTTP.Handler = telemetry.HTTPServer(app.Handler())
	// It is ready without the control API: its pages say that nothing is known meanwhile. Were it not, Kubernetes would
	// take all replicas out at once, and visitors would get the error of a proxy.
	cfg.HTTP.Notice = apis.Away
	return httpserver.Run(ctx, cfg.HTTP)
}

// addPages adds all pages. Each is a package of its own. own are the settings of this process.
func addPages(app *web.App, own []*meshv1.Setting) {
	now.Add(app)
	activity.Add(app)
	plan.Add(app)
	drift.Add(app)
	dead.Add(app)
	scans.Add(app)
	adoption.Add(app)
	settings.Add(app, own)
	find.Add(app)
	product.Add(app)
	products.Add(app)
	story.Add(app)
}

// newProvider returns the OpenID provider, nil if there is none.
func newProvider(cfg Config) (*openid.Provider, error) {
	if cfg.OpenID == nil {
		return nil, nil
	}
	switch {
	case cfg.URL == "":
		return nil, errors.New(
			"OpenID Connect needs the console's address, to which the provider sends visitors back: " +
				"set console_url (DRIFTLESS_CONSOLE_URL)")
	case cfg.Token == "":
		return nil, errors.New(
			"OpenID Connect needs a token of the console's own, which acts for visitors: make one with " +
				"`driftless token new console --role approve --delegate` and set console_token (DRIFTLESS_CONSOLE_TOKEN)")
	}
	settings := *cfg.OpenID
	settings.Redirect = strings.TrimRight(cfg.URL, "/") + web.OpenIDPath
	return openid.New(settings), nil
}

// parseURL returns the path of the console's address without a slash at its end, and whether visitors use TLS.
func parseURL(text string) (base string, secure bool, err error) {
	if text == "" {
		return "", false, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", false, fmt.Errorf("the console's address %q must be a URL such as https://ops.example.com/driftless",
			text)
	}
	return strings.TrimRight(u.EscapedPath(), "/"), u.Scheme == "https", nil
}
