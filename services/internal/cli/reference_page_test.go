package cli

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

// referencePage has every command. `go test ./internal/cli -run TestReferencePage -update` writes it.
const referencePage = "../../../docs/cli.md"

// In these texts "~" replaces the backtick.
const referenceIntro = `# The command line

For everybody who looks up a command, a flag or a default. The page is made from the program, and
~driftless COMMAND --help~ has the same. [operations.md](operations.md) has the commands by task, and
[configuration.md](configuration.md) the settings of the services.

A flag takes its value from the command line, else from its environment variable, else from the file of ~--config~, else
from its default. A secret can also be in a file that ~<VARIABLE>_FILE~ names.

`

const referenceExit = `
## Exit codes

| exit code | meaning |
|---|---|
| 0 | the command did what it says; what it checks is known and fine |
| 1 | the command failed |
| 2 | something differs, needs attention, or is unknown |
| 3 | a preview (~plan --sql~, ~-e~ or ~--config~) or a rollback has changes that the guard would hold |

The commands below say when they exit with 2. ~driftless psql~ exits as ~psql~ does.
`

func TestReferencePage_IsFresh(t *testing.T) {
	t.Parallel()
	parser, _ := newParser(t.Context())
	want := commandReference(parser.Model)
	if *update {
		require.NoError(t, os.WriteFile(referencePage, []byte(want), 0o600))
	}
	have, err := os.ReadFile(referencePage)
	require.NoError(t, err)
	require.Equal(t, want, string(have), "update it with: go test ./internal/cli -run TestReferencePage -update")
}

// commandReference returns the page: the commands in the order of the model, those of a group together.
func commandReference(app *kong.Application) string {
	var b strings.Builder
	b.WriteString(strings.ReplaceAll(referenceIntro, "~", "`"))
	nodes := app.Leaves(true)
	titles := groupTitles(nodes)
	for _, title := range titles {
		if title != "" {
			fmt.Fprintf(&b, "**%s**\n\n", title)
		}
		b.WriteString("| command | does |\n|---|---|\n")
		for _, node := range inGroup(nodes, title) {
			name := commandOf(node)
			fmt.Fprintf(&b, "| [`%s`](#driftless-%s) | %s |\n", name, strings.ReplaceAll(name, " ", "-"),
				tableCell(node.Help))
		}
		b.WriteString("\n")
	}
	b.WriteString("## Flags of all commands\n\n")
	writeFlags(&b, app.Flags)
	b.WriteString(strings.ReplaceAll(referenceExit, "~", "`"))
	for _, title := range titles {
		for _, node := range inGroup(nodes, title) {
			writeCommand(&b, node)
		}
	}
	return b.String()
}

func titleOf(node *kong.Node) string {
	if group := node.ClosestGroup(); group != nil {
		return strings.TrimSuffix(group.Title, ":")
	}
	return ""
}

func groupTitles(nodes []*kong.Node) (out []string) {
	for _, node := range nodes {
		if title := titleOf(node); !slices.Contains(out, title) {
			out = append(out, title)
		}
	}
	return out
}

func inGroup(nodes []*kong.Node, title string) (out []*kong.Node) {
	for _, node := range nodes {
		if titleOf(node) == title {
			out = append(out, node)
		}
	}
	return out
}

func writeCommand(b *strings.Builder, node *kong.Node) {
	name := commandOf(node)
	fmt.Fprintf(b, "\n## driftless %s\n\n", name)
	fmt.Fprintf(b, "```\ndriftless %s\n```\n", usageOf(node))
	writeParagraph(b, node.Help)
	detail, _, _ := strings.Cut(node.Detail, "Examples:\n\n")
	for paragraph := range strings.SplitSeq(strings.TrimSpace(detail), "\n\n") {
		writeDetail(b, strings.TrimRight(paragraph, "\n"))
	}
	if list := examples[name]; len(list) > 0 {
		fmt.Fprintf(b, "\nExamples:\n\n```\n%s\n```\n", trimIndent(exampleLines(list)))
	}
	if len(node.Positional) > 0 {
		b.WriteString("\n| argument | default | meaning |\n|---|---|---|\n")
		for _, arg := range node.Positional {
			fmt.Fprintf(b, "| `%s` | %s | %s |\n", arg.Summary(), codeOrNothing(arg.Default), tableCell(arg.Help))
		}
	}
	if flags := ownFlags(node); len(flags) > 0 {
		b.WriteString("\n")
		writeFlags(b, flags)
	}
}

var (
	// exitSentence finds the sentence of a help that says when the command exits with which code.
	exitSentence = regexp.MustCompile(`((?:A preview e|E)xits) with (\d [^.]*)\.\s*`)
	exitCode     = regexp.MustCompile(`,? (?:and )?with (\d) `)
)

// writeDetail writes a paragraph of the help. Its sentence about exit codes becomes a list.
func writeDetail(b *strings.Builder, text string) {
	exit := exitSentence.FindStringSubmatch(text)
	if exit != nil {
		text = strings.TrimSpace(strings.Replace(text, exit[0], "", 1))
	}
	if text != "" {
		writeParagraph(b, text)
	}
	if exit == nil {
		return
	}
	fmt.Fprintf(b, "\n%s with\n\n", exit[1])
	codes := exitCode.ReplaceAllString(strings.Join(strings.Fields(exit[2]), " "), "\n$1 ")
	for line := range strings.SplitSeq(codes, "\n") {
		code, when, _ := strings.Cut(line, " ")
		writeParagraphIn(b, "- "+code+" "+when, "  ")
	}
}

// usageOf returns the command with its arguments, without the flags of all commands.
func usageOf(node *kong.Node) string {
	words := []string{commandOf(node)}
	for _, flag := range ownFlags(node) {
		if flag.Required {
			words = append(words, flag.Summary())
		}
	}
	for _, arg := range node.Positional {
		words = append(words, arg.Summary())
	}
	if len(ownFlags(node)) > 0 {
		words = append(words, "[flags]")
	}
	return strings.Join(words, " ")
}

// ownFlags returns the flags of the command and of the commands that it belongs to, which all others lack.
func ownFlags(node *kong.Node) (out []*kong.Flag) {
	for ; node != nil && node.Type != kong.ApplicationNode; node = node.Parent {
		for _, flag := range node.Flags {
			if !flag.Hidden && flag.Name != "help" {
				out = append(out, flag)
			}
		}
	}
	return out
}

func writeFlags(b *strings.Builder, flags []*kong.Flag) {
	b.WriteString("| flag | environment | default | meaning |\n|---|---|---|---|\n")
	for _, flag := range flags {
		if flag.Hidden {
			continue
		}
		name := "`--" + flag.Name + "`"
		switch {
		case flag.Tag.Negatable != "":
			name = "`--[no-]" + flag.Name + "`"
		case !flag.IsBool() && flag.PlaceHolder != "":
			name = "`--" + flag.Name + "=" + flag.PlaceHolder + "`"
		}
		if flag.Short != 0 {
			name = "`-" + string(flag.Short) + "`, " + name
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", name, codeOrNothing(strings.Join(flag.Envs, "`, `")),
			codeOrNothing(flag.Default), tableCell(flag.Help))
	}
}

func codeOrNothing(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

// tableCell returns a text that does not end a cell of a table.
func tableCell(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\n", " "), "|", `\|`)
}

func trimIndent(text string) string {
	return strings.TrimPrefix(strings.ReplaceAll(text, "\n  ", "\n"), "  ")
}

// maxPageColumns is the width of a line of text on a page.
const maxPageColumns = 120

// writeParagraph writes a paragraph in lines of the page's width. One with indented lines is written as it is.
func writeParagraph(b *strings.Builder, text string) {
	b.WriteString("\n")
	if strings.HasPrefix(text, " ") || strings.Contains(text, "\n ") {
		fmt.Fprintf(b, "```\n%s\n```\n", strings.Trim(text, "\n"))
		return
	}
	writeParagraphIn(b, text, "")
}

// writeParagraphIn writes a paragraph whose lines after the first one are indented.
func writeParagraphIn(b *strings.Builder, text, indent string) {
	width := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case width+1+len([]rune(word)) > maxPageColumns:
			b.WriteString("\n" + indent)
			width = len(indent)
		default:
			b.WriteString(" ")
			width++
		}
		b.WriteString(word)
		width += len([]rune(word))
	}
	b.WriteString("\n")
}
