package chart

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
)

// compose reads deploy/compose.yaml as docker compose does: against its specification, with deploy/.env.
func compose(t *testing.T, profiles ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{root + "/deploy/compose.yaml"}, cli.WithEnvFiles(root+"/deploy/.env"), cli.WithDotEnv,
		cli.WithProfiles(profiles), cli.WithInterpolation(true), cli.WithNormalization(true), cli.WithConsistency(true))
	require.NoError(t, err)
	project, err := options.LoadProject(t.Context())
	require.NoError(t, err)
	return project
}

func TestComposeFileIsValid(t *testing.T) {
	project := compose(t, "simulator")
	configuration, err := os.ReadFile(root + "/docs/configuration.md")
	require.NoError(t, err)
	for _, name := range []string{"ingestion", "push", "pull", "reconciliation", "migrate", "topology", "simulator", "nats", "postgres"} {
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
				require.Regexp(t, regexp.MustCompile("`"+strings.TrimSuffix(variable, "_FILE")+"`"), string(configuration), "%s sets %s, which nothing reads", name, variable)
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
