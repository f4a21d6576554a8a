package chart

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
)

// makeSecrets runs scripts/compose to create or complete the secrets in a file, and returns the settings in it.
func makeSecrets(t *testing.T, file string) map[string]string {
	t.Helper()
	out, err := exec.Command(root+"/scripts/compose", "--secrets", file).CombinedOutput()
	require.NoError(t, err, string(out))
	settings, err := dotenv.Read(file)
	require.NoError(t, err)
	return settings
}

// loadCompose loads deploy/compose.yaml with these files of settings and checks it against its specification, as docker
// compose does.
func loadCompose(t *testing.T, envFiles []string, profiles ...string) (*types.Project, error) {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{root + "/deploy/compose.yaml"}, cli.WithEnvFiles(envFiles...),
		cli.WithDotEnv,
		cli.WithProfiles(profiles), cli.WithInterpolation(true), cli.WithNormalization(true), cli.WithConsistency(true))
	require.NoError(t, err)
	return options.LoadProject(t.Context())
}

// compose loads deploy/compose.yaml as scripts/compose has docker compose load it.
func compose(t *testing.T, profiles ...string) *types.Project {
	t.Helper()
	file := t.TempDir() + "/secrets.env"
	makeSecrets(t, file)
	project, err := loadCompose(t, []string{root + "/deploy/.env", file}, profiles...)
	require.NoError(t, err)
	return project
}

func TestCompose_HasNoSecrets(t *testing.T) {
	_, err := loadCompose(t, []string{root + "/deploy/.env"}, "simulator")
	require.ErrorContains(t, err, "run scripts/compose", "without secrets it does not start, and says what to do")
	defaults, err := dotenv.Read(root + "/deploy/.env")
	require.NoError(t, err)
	// The simulator accepts any key, but Stripe does not accept this one.
	require.Equal(t, map[string]string{"COMPOSE_PROFILES": "simulator", "STRIPE_API_KEY": "sk_test_compose"}, defaults)

	first, second := t.TempDir()+"/secrets.env", t.TempDir()+"/secrets.env"
	made, other := makeSecrets(t, first), makeSecrets(t, second)
	info, err := os.Stat(first)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.Len(t, made, 10)
	for name, value := range made {
		require.NotEqual(t, value, other[name], "%s is the same everywhere", name)
		require.Regexp(t, `[0-9a-f]{40}`, value, name)
	}
	require.Equal(t, made, makeSecrets(t, first), "secrets are made once")

	// Settings of the operator stay. Settings that a new version needs are added.
	own := t.TempDir() + "/secrets.env"
	require.NoError(t, os.WriteFile(own, []byte("STRIPE_WEBHOOK_SECRET=whsec_mine\nPOSTGRES_PASSWORD=trial"), 0o600))
	settings := makeSecrets(t, own)
	require.Len(t, settings, 10)
	require.Equal(t, "whsec_mine", settings["STRIPE_WEBHOOK_SECRET"])
	require.Equal(t, "postgres://driftless:trial@postgres:5432/driftless", settings["CATALOG_URL"])
}

func TestCompose_GivesEachServiceOnlyItsSecrets(t *testing.T) {
	project := compose(t, "simulator", "cli")
	want := map[string][]string{
		"ingestion":      {"catalog-url", "token"},
		"push":           {"stripe-api-key"},
		"pull":           {"stripe-api-key", "stripe-webhook-secret"},
		"reconciliation": {"catalog-url", "token"},
		"console":        {"console-session-key"},
		"migrate":        {"catalog-url"},
		"simulator":      {"stripe-webhook-secret"},
		"cli":            {"token"},
	}
	for name, s := range project.Services {
		var secrets []string
		for _, secret := range s.Secrets {
			secrets = append(secrets, secret.Source)
			variable := project.Secrets[secret.Source].Environment
			file := map[string]string{"CATALOG_URL": "DATABASE_URL"}[variable]
			if file == "" {
				file = variable
			}
			if name == "reconciliation" && variable == "CATALOG_URL" {
				file = "LEDGER_DATABASE_URL"
			}
			if name == "console" {
				file = "DRIFTLESS_" + variable
			}
			if name == "simulator" && variable == "STRIPE_WEBHOOK_SECRET" {
				file = "DRIFTLESS_SIM_WEBHOOK_SECRET"
			}
			path := s.Environment[file+"_FILE"]
			require.NotNil(t, path, "%s has no %s_FILE", name, file)
			require.Equal(t, "/run/secrets/"+secret.Source, *path, name)
		}
		require.ElementsMatch(t, want[name], secrets, name)
		for _, port := range s.Ports {
			require.Equal(t, "127.0.0.1", port.HostIP, "%s publishes %s", name, port.Published)
			// In a container it listens on every address, and would accept any name (DNS rebinding).
			require.Equal(t, name, *s.Environment["DRIFTLESS_ALLOWED_HOSTS"], name)
		}
		require.NotContains(t, strings.Join(s.Command, " "), "secret", "%s: arguments show in the list of processes",
			name)
	}
}

// The console is a client of the two APIs with the rights of its visitors.
func TestCompose_ConsoleHasOnlyItsSessionKey(t *testing.T) {
	console := compose(t, "simulator", "cli").Services["console"]
	require.Equal(t, "http://reconciliation:8082", *console.Environment["DRIFTLESS_CONTROL_URL"])
	require.Equal(t, "http://ingestion:8080", *console.Environment["DRIFTLESS_INGEST_URL"])
	require.Len(t, console.Ports, 1)
	require.Equal(t, "8084", console.Ports[0].Published)
	for variable := range console.Environment {
		require.NotRegexp(t, "NATS|DATABASE|STRIPE|SIGNING|_TOKEN", variable)
	}
	require.Empty(t, console.Volumes)
}

func TestCompose_IsValid(t *testing.T) {
	project := compose(t, "simulator", "cli")
	configuration, err := os.ReadFile(root + "/docs/configuration.md")
	require.NoError(t, err)
	// The last ones are settings of commands.
	configuration = append(configuration,
		"`DRIFTLESS_CONTROL_URL` `DRIFTLESS_INGEST_URL` `DRIFTLESS_SIM_WEBHOOK_SECRET`"...)
	for _, name := range []string{
		"ingestion", "push", "pull", "reconciliation", "console", "migrate", "topology", "simulator",
		"nats", "postgres",
	} {
		require.Contains(t, project.Services, name)
	}
	require.NotContains(t, compose(t).Services, "simulator", "against Stripe itself there is no simulator")
	for name, s := range project.Services {
		if !strings.Contains(s.Image, "/driftless") {
			continue
		}
		require.True(t, s.ReadOnly, name)
		require.Equal(t, "65532:65532", s.User, name)
		require.Equal(t, []string{"ALL"}, s.CapDrop, name)
		for variable := range s.Environment {
			if !strings.HasPrefix(variable, "OTEL_") {
				require.Regexp(t, "`"+strings.TrimSuffix(variable, "_FILE")+"`",
					string(configuration), "%s sets %s, which nothing reads", name, variable)
			}
		}
		for _, secret := range s.Secrets {
			require.Contains(t, project.Secrets, secret.Source, name)
		}
	}
	for _, name := range []string{"ingestion", "push", "pull", "reconciliation"} {
		after := project.Services[name].DependsOn
		require.Equal(t, types.ServiceConditionCompletedSuccessfully, after["topology"].Condition, name)
		require.Equal(t, types.ServiceConditionCompletedSuccessfully, after["migrate"].Condition, name)
	}
}
