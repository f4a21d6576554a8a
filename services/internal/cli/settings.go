package cli

import (
	"context"
	"io"
	"slices"
	"strings"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

type settingsCmd struct {
	address
	Service string `arg:"" optional:"" help:"Only this service: ingestion, push, pull or reconciliation."`
	All     bool   `name:"all" help:"Also list settings that have their defaults."`
	Search  string `name:"search" placeholder:"TEXT" help:"Only settings with this text in their name, value or place."`
}

// Help is shown by --help.
func (*settingsCmd) Help() string {
	return `Each process says what its settings are and where it has them from: a flag, the environment, the configuration
file, a file with a secret, or the default. The values of secrets are never among them. docs/configuration.md explains
the settings. The console's own settings are on its page Settings.

Exits with 0 if the settings of all services are known and their processes agree, and with 2 otherwise.`
}

func (cmd *settingsCmd) Run(ctx context.Context, c *cli) error {
	client, err := cmd.control(c)
	if err != nil {
		return reportUnknown(c, err)
	}
	answer, err := client.GetSettings(ctx,
		connect.NewRequest(&controlv1.GetSettingsRequest{Service: cmd.Service}))
	if err != nil {
		return reportUnknown(c, err)
	}
	differs := false
	for _, s := range answer.Msg.GetServices() {
		differs = differs || s.GetUnknown() != "" || slices.ContainsFunc(s.GetSettings(),
			func(s *controlv1.EffectiveSetting) bool { return s.GetDiffers() })
		s.Settings = slices.DeleteFunc(s.GetSettings(),
			func(s *controlv1.EffectiveSetting) bool { return !cmd.selects(s) })
	}
	if c.Output == "json" {
		err = printJSON(answer.Msg)
	} else {
		cmd.print(stdout, answer.Msg)
	}
	if err == nil && differs {
		return errDiffers
	}
	return err
}

// selects reports whether a setting has the text that is searched for.
func (cmd *settingsCmd) selects(s *controlv1.EffectiveSetting) bool {
	text := strings.ToLower(strings.ReplaceAll(cmd.Search, "-", "_"))
	has := func(part string) bool {
		return strings.Contains(strings.ReplaceAll(strings.ToLower(part), "-", "_"), text)
	}
	return has(s.GetName()) || slices.ContainsFunc(s.GetValues(), func(v *controlv1.SettingValue) bool {
		return has(v.GetSetting().GetValue()) || has(v.GetSetting().GetAt())
	})
}

// print prints a table for each service.
func (cmd *settingsCmd) print(w io.Writer, answer *controlv1.GetSettingsResponse) {
	for i, s := range answer.GetServices() {
		if i > 0 {
			say(w)
		}
		say(w, s.GetService())
		if s.GetUnknown() != "" {
			sayf(w, "  unknown: %s\n", s.GetUnknown())
		}
		rows := [][]string{{"  SETTING", "VALUE", "FROM", "DEFAULT"}}
		defaults := 0
		for _, setting := range s.GetSettings() {
			if !cmd.All && !setting.GetChanged() && !setting.GetDiffers() {
				defaults++
				continue
			}
			rows = append(rows, settingRows(setting)...)
		}
		if len(rows) > 1 {
			printTable(w, rows...)
		}
		if defaults > 0 {
			sayf(w, "  %s; --all lists them.\n",
				countOf(defaults, "setting has its default", "settings have their defaults"))
		}
	}
}

// settingRows returns a row for each value of a setting. Values of several processes have a row that names them.
func settingRows(s *controlv1.EffectiveSetting) (rows [][]string) {
	name := "  " + strings.ReplaceAll(s.GetName(), "-", "_")
	standard := s.GetDefault()
	if s.GetSecret() || standard == "" {
		standard = "-"
	}
	for _, v := range s.GetValues() {
		rows = append(rows, []string{name, settingValue(v.GetSetting()), settingOrigin(v.GetSetting()), standard})
		if s.GetDiffers() || len(s.GetValues()) > 1 {
			rows = append(rows, []string{"", "  in " + visible.Text(strings.Join(v.GetProcesses(), "; ")), "", ""})
		}
		name, standard = "", ""
	}
	if s.GetDiffers() {
		rows = append(rows, []string{"", "  the processes differ", "", ""})
	}
	return rows
}

func settingValue(s *meshv1.Setting) string {
	switch {
	case s.GetSecret() && s.GetSet():
		return "(secret)"
	case !s.GetSet() || s.GetValue() == "":
		return "-"
	case s.GetTruncated():
		return visible.Text(s.GetValue()) + "..."
	}
	return visible.Text(s.GetValue())
}

func settingOrigin(s *meshv1.Setting) string {
	words := visible.Words(s.GetOrigin())
	if s.GetAt() != "" {
		words += ": " + s.GetAt()
	}
	return visible.Text(words)
}
