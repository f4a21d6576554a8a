package cli

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"path/filepath"
	"sync"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/proto/driftless/ingest/v1/ingestv1connect"
	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/doctor"
	"github.com/driftless-sync/driftless/services/internal/doctor/probe"
	"github.com/driftless-sync/driftless/services/internal/doctor/probe/databaseprobe"
	"github.com/driftless-sync/driftless/services/internal/doctor/probe/natsprobe"
	"github.com/driftless-sync/driftless/services/internal/doctor/probe/stripeprobe"
	"github.com/driftless-sync/driftless/services/internal/postgres"
	"github.com/driftless-sync/driftless/services/internal/service"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/stripeapi/stripeconfig"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/pull"
	"github.com/driftless-sync/driftless/services/reconciliation"
)

// patient is the account of a mesh that is checked.
type patient struct {
	cmd      *doctorCmd
	c        *cli
	account  string
	settings allSettings
	mapping  *config.Mapping
	// local is the mesh on the data directory, if isLocal is set.
	local   endpoints
	isLocal bool
}

// findLocalMesh returns the mesh on the data directory if the settings do not name another one. A mixture of two meshes
// would say nothing about either.
func (p *patient) findLocalMesh() (endpoints, bool, error) {
	e, err := findMesh(p.c.DataDir)
	if errors.Is(err, errNoMesh) {
		return endpoints{}, false, nil
	}
	if err != nil {
		return endpoints{}, false, err
	}
	s := p.settings
	agrees := func(set, local string) bool { return set == "" || set == local }
	isLocal := agrees(s.DatabaseURL.Reveal(), e.Database) && agrees(s.NATSURL, e.NATS) &&
		(s.StripeAPIKey == "" || !e.Simulated && s.StripeAPIBase == e.Stripe || s.StripeAPIKey == simulatorKey) &&
		agrees(p.cmd.Control, e.Control) && agrees(p.cmd.Ingest, e.Ingest)
	return e, isLocal, nil
}

// servers says what to ask.
func (p *patient) servers() probe.Config {
	return probe.Config{
		Account:     p.account,
		Catalog:     p.catalog(),
		Slot:        p.settings.Slot,
		Ledger:      p.ledger(),
		CheckLedger: reconciliation.CheckLedger,
		NATS:        p.nats(),
		Stripe:      p.stripe(),
		Services:    p.services(),
		Now:         p.cmd.now,
		Patience:    p.cmd.patience,
	}
}

func (p *patient) catalog() databaseprobe.Database {
	return databaseProbe(p.catalogSetting(), "DATABASE_URL")
}

func (p *patient) ledger() databaseprobe.Database {
	return databaseProbe(p.settings.LedgerDatabase(p.catalogSetting()), "LEDGER_DATABASE_URL")
}

func (p *patient) catalogSetting() config.DatabaseSetting {
	return config.DatabaseSetting{
		URL:      cmp.Or(p.settings.DatabaseURL, config.Secret(p.local.Database)),
		File:     p.settings.DatabaseURLFile,
		Variable: "DATABASE_URL",
	}
}

// databaseProbe returns how to look at a database. unset is the variable to name if there is none.
func databaseProbe(s config.DatabaseSetting, unset string) databaseprobe.Database {
	return databaseprobe.Database{
		Database: postgres.Database{
			URL:     s.URL.Reveal(),
			File:    s.File,
			Setting: s.Variable,
			Logger:  slog.New(slog.DiscardHandler),
		},
		Unset: unset,
	}
}

func (p *patient) nats() probe.NATS {
	client := service.NATS(p.cmd.User, p.settings.NATS)
	client.URL = cmp.Or(p.settings.NATSURL, p.local.NATS)
	client.Account, client.Logger = p.account, slog.New(slog.DiscardHandler)
	return probe.NATS{
		Config: natsprobe.Config{
			Client: client,
			Topology: topology.Options{
				Replicas: p.settings.NATSReplicas,
				Accounts: []string{p.account},
				NoEvents: !p.settings.PublishEvents,
				Placement: topology.Placement{
					Cluster: p.settings.PlacementCluster,
					Tags:    p.settings.PlacementTags,
				},
			},
		},
		Monitors: p.cmd.Monitors,
		// The server of driftless up writes to the disk before it acknowledges.
		SyncsAlways: p.isLocal && isPrivateNATS(p.local.NATS),
	}
}

// isPrivateNATS reports whether an address is that of the server that driftless up starts.
func isPrivateNATS(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.User.Username() == natsAdmin
}

func (p *patient) stripe() stripeprobe.Config {
	cfg := stripeconfig.Client(p.settings.Stripe)
	secrets, version := p.settings.StripeWebhookSecret.Reveal(), ""
	if p.isLocal && p.local.Simulated {
		cfg.Key, cfg.Base = simulatorKey, p.local.Stripe
		// The simulator's default is the version that pull reads.
		version = stripeapi.PinnedVersion
		if secret := readTrimmed(filepath.Join(p.c.DataDir, "webhook.secret")); len(secrets) == 0 && secret != "" {
			secrets = []string{secret}
		}
	}
	return stripeprobe.Config{
		Client:         cfg,
		WebhookPath:    pull.WebhookPath,
		WebhookSecrets: secrets,
		SendProbe:      sendProbe,
		DefaultVersion: version,
	}
}

func (p *patient) services() probe.Services {
	at := map[string]string{}
	for service, address := range map[string]string{
		topology.Ingestion:      cmp.Or(p.cmd.Ingest, p.local.Ingest),
		topology.Push:           cmp.Or(p.cmd.Push, p.local.Push),
		topology.Pull:           cmp.Or(p.cmd.Pull, p.local.Webhook),
		topology.Reconciliation: cmp.Or(p.cmd.Control, p.local.Control),
	} {
		if address != "" {
			at[service] = address
		}
	}
	return probe.Services{
		Addresses:   at,
		Version:     service.Version(),
		Fleet:       func(ctx context.Context) (doctor.Fleet, error) { return p.fleet(ctx, at) },
		Paused:      func(ctx context.Context) ([]string, error) { return p.paused(ctx, at) },
		CheckTokens: func(ctx context.Context) ([]string, error) { return p.checkTokens(ctx, at) },
	}
}

// apis returns clients of both APIs.
func (p *patient) apis(at map[string]string) (
	control controlv1connect.ControlServiceClient, ingest ingestv1connect.IngestServiceClient, err error,
) {
	if at[topology.Ingestion] == "" || at[topology.Reconciliation] == "" {
		return nil, nil, errors.New("the address of an API is unknown: set --ingest and --control")
	}
	c := p.withToken()
	named := address{Control: at[topology.Reconciliation], Ingest: at[topology.Ingestion]}
	if control, err = named.control(c); err != nil {
		return nil, nil, err
	}
	ingest, err = named.ingest(c)
	return control, ingest, err
}

// withToken returns the command line with the token that the settings have.
func (p *patient) withToken() *cli {
	c := *p.c
	c.Token = config.Secret(cmp.Or(p.c.Token.Reveal(), p.settings.Token.Reveal(), p.local.Token))
	return &c
}

// paused returns the services that somebody paused.
func (p *patient) paused(ctx context.Context, at map[string]string) (out []string, err error) {
	control, _, err := p.apis(at)
	if err != nil {
		return nil, err
	}
	status, err := control.GetStatus(ctx, connect.NewRequest(&controlv1.GetStatusRequest{}))
	if err != nil {
		return nil, err
	}
	for _, s := range status.Msg.GetPaused() {
		out = append(out, s.GetService())
	}
	return out, nil
}

// checkTokens calls both APIs. The calls change nothing.
func (p *patient) checkTokens(ctx context.Context, at map[string]string) (refused []string, err error) {
	control, ingest, err := p.apis(at)
	if err != nil {
		return nil, err
	}
	var failedControl, failedIngest error
	// One that hangs delays no other.
	var both sync.WaitGroup
	both.Go(func() {
		_, failedControl = control.GetStatus(ctx, connect.NewRequest(&controlv1.GetStatusRequest{}))
	})
	both.Go(func() {
		// An empty request is refused after the token was accepted.
		_, failedIngest = ingest.ArchiveProducts(ctx, connect.NewRequest(&ingestv1.ArchiveProductsRequest{}))
	})
	both.Wait()
	for _, failed := range []error{failedControl, failedIngest} {
		switch code := connect.CodeOf(failed); {
		case failed == nil, code == connect.CodeInvalidArgument, code == connect.CodeFailedPrecondition:
		case code == connect.CodeUnauthenticated:
			refused = append(refused, withoutCode(failed))
		default:
			err = errors.Join(err, failed)
		}
	}
	return refused, err
}

// withoutCode returns the text of an API's error without its code.
func withoutCode(err error) string {
	if failed, ok := errors.AsType[*connect.Error](err); ok {
		return failed.Message()
	}
	return err.Error()
}

// tokenProbe looks for an API beyond this machine that asks for no token.
func (p *patient) tokenProbe() doctor.Probe {
	return doctor.Probe{
		Name: "the token", Covers: []string{doctor.ConfigToken},
		Run: func(_ context.Context, r *doctor.Recorder) error {
			if p.settings.Token != "" || p.settings.Tokens.Tokens != "" || p.c.Token != "" ||
				p.isLocal && p.local.Token != "" {
				return nil
			}
			for _, a := range []struct{ api, address string }{
				{"the ingestion API", p.settings.IngestionAddr},
				{"the control API", p.settings.ReconciliationAddr},
			} {
				doctor.JudgeToken(r, a.api, a.address)
			}
			return nil
		},
	}
}

// webhookSecretProbe looks at the signing secrets, without asking anybody.
func (p *patient) webhookSecretProbe() doctor.Probe {
	cfg := p.stripe()
	return stripeprobe.Secrets(cfg.Client.Base, cfg.WebhookSecrets)
}

// mappingProbe examines the catalog database and the mapping as ingestion does at its start.
func (p *patient) mappingProbe() doctor.Probe {
	return ingestion.Probe(ingestion.Config{
		Account:         p.account,
		DatabaseURL:     p.catalog().URL,
		DatabaseURLFile: p.catalog().File,
		Mapping:         p.mapping,
		Slot:            p.settings.Slot,
		Publication:     p.settings.Publication,
		StripeIDs:       p.settings.StripeIDs,
	})
}
