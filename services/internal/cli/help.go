package cli

import (
	"context"
	"slices"
	"strconv"

	"github.com/alecthomas/kong"
)

// commandGroups are the commands by purpose, in the order in which the help shows them.
var commandGroups = []struct {
	title    string
	commands []string
}{
	{"Start:", []string{"init", "preview", "up", "demo", "sim"}},
	{"Look:", []string{"status", "why", "plan", "products", "top", "tail", "history", "diff", "trace"}},
	{"Change the catalog and Stripe:", []string{"apply", "export", "sync", "rollback", "adopt"}},
	{
		"Decide about what is held, failed or different:",
		[]string{"approve", "reject", "drift", "dead", "retries"},
	},
	{"Operate:", []string{"doctor", "settings", "pause", "resume", "scan", "reread", "notify"}},
	{
		"Set up:",
		[]string{
			"config", "migrate", "topology", "keys", "token", "whoami", "webhook", "psql", "completion", "complete",
			"help",
			"version",
		},
	},
}

// meshFlags say where the mesh is. They belong to many commands.
var meshFlags = []string{"control", "ingest"}

const (
	meshFlagsTitle   = "Where the mesh is:"
	globalFlagsTitle = "Global flags:"
)

// arrangeHelp puts commands in groups, and the flags of every command after a command's own.
func arrangeHelp(app *kong.Application) {
	for i, group := range commandGroups {
		for _, name := range group.commands {
			if at := slices.IndexFunc(app.Children, func(n *kong.Node) bool { return n.Name == name }); at >= 0 {
				app.Children[at].Group = &kong.Group{Key: strconv.Itoa(i), Title: group.title}
			}
		}
	}
	slices.SortStableFunc(app.Children,
		func(a, b *kong.Node) int { return commandPlace(a.Name) - commandPlace(b.Name) })
	for _, f := range app.Flags {
		f.Group = &kong.Group{Key: "global", Title: globalFlagsTitle}
	}
	for _, command := range app.Leaves(false) {
		if command.Parent.Parent != nil {
			command.Group = &kong.Group{Key: "subcommands", Title: "Commands:"}
		}
		for _, f := range command.Flags {
			if slices.Contains(meshFlags, f.Name) {
				f.Group = &kong.Group{Key: "mesh", Title: meshFlagsTitle}
			}
		}
	}
}

// commandPlace returns the place of a command in the help. A command without a group comes last.
func commandPlace(name string) int {
	place := 0
	for _, group := range commandGroups {
		if at := slices.Index(group.commands, name); at >= 0 {
			return place + at
		}
		place += len(group.commands)
	}
	return place
}

// printHelp prints the help of a command, with one sentence about each command below it.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	options.Compact, options.NoExpandSubcommands, options.FlagsLast = true, true, true
	shown := ctx.Model.Children
	if selected := ctx.Selected(); selected != nil {
		shown = selected.Children
	}
	before := make([]string, len(shown))
	for i, node := range shown {
		before[i] = node.Help
		node.Help = firstSentence(node.Help)
	}
	err := kong.DefaultHelpPrinter(options, ctx)
	for i, node := range shown {
		node.Help = before[i]
	}
	return err
}

// exitCodesLine is the rule in the help of driftless itself.
const exitCodesLine = "Exits with 0 if all is fine, 1 if the command failed, 2 if something differs, is degraded or is " +
	"unknown, and 3 if the guard would hold a previewed change (driftless help exit-codes)."

// exitCodes is the only rule for exit codes. docs/output.md has it, too.
const exitCodes = `Exit codes:
  0  fine: the command worked, and what it looked at is known and equal
  1  the command failed; standard error says why and what to do
  2  the command worked, and found differences, something degraded, or something
     that is unknown
  3  a preview or a rollback: the guard would hold the change

A command that could not look never exits with 0. driftless status --check is for
probes: it exits with 2 only if something needs attention or is unknown.
`

type helpCmd struct {
	Topic []string `arg:"" optional:"" help:"A command, or exit-codes."`
}

// Run prints the help of a command or a topic.
func (cmd *helpCmd) Run(ctx context.Context) error {
	if slices.Equal(cmd.Topic, []string{"exit-codes"}) {
		sayf(stdout, "%s", raw(exitCodes))
		return nil
	}
	parser, _ := newParser(ctx)
	parser.Stdout = stdout
	// Kong ends the program after the help, with 0.
	_, err := parser.Parse(append(cmd.Topic, "--help"))
	return withHelp(err)
}
