package cli

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/service"
	"github.com/driftless-sync/driftless/services/internal/telemetry"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// serviceSettings are the settings that the program of each service reads.
var serviceSettings = map[string]any{
	topology.Ingestion:      config.IngestionService{},
	topology.Push:           config.PushService{},
	topology.Pull:           config.PullService{},
	topology.Reconciliation: config.ReconciliationService{},
	console:                 config.ConsoleService{},
}

// commonVariables are the variables of this process that every service gets beside its settings. They say where the
// parts of the system are, and set up Go and OpenTelemetry. A name that ends in "_" is a prefix. The list is short
// because a shell has secrets of other programs too.
var commonVariables = []string{
	"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "LANG", "LC_", "LD_LIBRARY_PATH",
	"SSL_CERT_FILE", "SSL_CERT_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	"GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GOTRACEBACK", "GOCOVERDIR", "OTEL_",
}

// postgresVariables are the variables of libpq that pgx reads. Services with a database get them.
var postgresVariables = []string{
	"PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE",
	"PGAPPNAME", "PGOPTIONS", "PGTZ", "PGCONNECT_TIMEOUT", "PGTARGETSESSIONATTRS", "PGCHANNELBINDING", "PGREQUIREAUTH",
	"PGMINPROTOCOLVERSION", "PGMAXPROTOCOLVERSION", "PGSSLMODE", "PGSSLKEY", "PGSSLCERT", "PGSSLCERTMODE", "PGSSLSNI",
	"PGSSLROOTCERT", "PGSSLPASSWORD", "PGSSLNEGOTIATION",
}

// environment returns the variables of a service: its settings, and what every program needs. No service gets the
// secrets of another.
func (u *up) environment(program string) []string {
	own := config.Variables(serviceSettings[program])
	pass := commonVariables
	if slices.Contains(own, "DATABASE_URL") {
		pass = slices.Concat(commonVariables, postgresVariables)
	}
	set := u.settings()
	if set["NATS_URL"] != "" {
		// On the private server each service has its own user.
		set["NATS_URL"] = u.natsURL(program)
	}
	if program == topology.Ingestion && u.DryRun && u.DatabaseURL != "" {
		// A dry run creates no tables in the operator's database.
		set["DRIFTLESS_MIGRATIONS"] = "check"
	}
	if program == topology.Reconciliation && set["LEDGER_DATABASE_URL"]+set["LEDGER_DATABASE_URL_FILE"] != "" {
		// The ledger has its own database, so reconciliation does not get the catalog's.
		set["DATABASE_URL"], set["DATABASE_URL_FILE"] = "", ""
	}
	env := slices.DeleteFunc(os.Environ(), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		if slices.Contains(own, name) {
			_, isSet := set[strings.TrimSuffix(name, "_FILE")]
			return isSet
		}
		return !slices.ContainsFunc(pass, func(p string) bool {
			return name == p || strings.HasSuffix(p, "_") && strings.HasPrefix(name, p)
		})
	})
	for name, value := range set {
		if value != "" && slices.Contains(own, name) {
			env = append(env, name+"="+value)
		}
	}
	if program == console {
		env = append(env, service.LinkKeyVariable+"="+u.linkKey,
			service.LinkTokenVariable+"="+u.cli.Token.Reveal())
	}
	return env
}

// settings returns the settings of all services by variable: those of up, except where up itself knows better.
func (u *up) settings() map[string]string {
	set := config.Values(*u.upCmd)
	for _, name := range signingSettings {
		delete(set, name) // see upKeys.environment
	}
	maps.Copy(set, map[string]string{
		"DATABASE_URL":          u.endpoints.Database,
		"NATS_URL":              u.endpoints.NATS,
		"NATS_REPLICAS":         strconv.Itoa(u.replicas()),
		"STRIPE_API_BASE":       u.endpoints.Stripe,
		"DRIFTLESS_TOKEN":       u.cli.Token.Reveal(),
		"DRIFTLESS_CONTROL_URL": u.endpoints.Control,
		"DRIFTLESS_INGEST_URL":  u.endpoints.Ingest,
		"DRIFTLESS_LOG_LEVEL":   u.ServiceLogLevel,
		"DRIFTLESS_LOG_FORMAT":  telemetry.LogFormat(os.Stderr, u.cli.LogFormat),
		"DRIFTLESS_CONFIG":      u.cli.Config,
	})
	if u.simulator != nil {
		set["STRIPE_API_KEY"], set["STRIPE_WEBHOOK_SECRET"] = simulatorKey, u.webhookSecret
		if u.StripeRate == 0 {
			set["STRIPE_RATE"] = strconv.FormatFloat(simulatorRate, 'f', -1, 64)
		}
		for _, d := range simulatorDefaults {
			if !u.isSet(d.flag) {
				set[d.variable] = d.value
			}
		}
	}
	// The services read the files themselves, and again while they run.
	for name, file := range config.Files(*u.upCmd) {
		if file != "" && !slices.Contains(signingSettings, name) {
			set[name], set[name+"_FILE"] = "", file
		}
	}
	return set
}
