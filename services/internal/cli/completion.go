package cli

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/alecthomas/kong"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// completionTimeout bounds how long a completion waits for the ids of products. Somebody waits for the answer.
const completionTimeout = 2 * time.Second

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: bash, zsh or fish."`
}

// completionScripts call `driftless complete` with the words before the cursor.
var completionScripts = map[string]string{
	"bash": `_driftless() {
	local IFS=$'\n'
	# Ids of products are texts of others: what a shell would act on is quoted.
	COMPREPLY=($(driftless complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1 |
		while read -r word; do printf '%q\n' "$word"; done))
}
complete -o default -F _driftless driftless
`,
	"zsh": `#compdef driftless
_driftless() {
	local -a candidates
	local line
	while IFS=$'\t' read -r word help; do
		candidates+=("${word//:/\\:}:$help")
	done < <(driftless complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
	if (( ${#candidates} )); then
		_describe driftless candidates
	else
		_files
	fi
}
compdef _driftless driftless
`,
	"fish": `function __driftless_complete
	set -l words (commandline -opc) (commandline -ct)
	driftless complete -- $words[2..-1] 2>/dev/null
end
complete -c driftless -a '(__driftless_complete)'
`,
}

func (cmd *completionCmd) Run() error {
	_, err := os.Stdout.WriteString(completionScripts[cmd.Shell])
	return err
}

// completeCmd prints what the last word can become, one candidate a line, with a tab and its help.
type completeCmd struct {
	Words []string `arg:"" optional:"" passthrough:"" help:"The words after driftless up to the cursor."`
}

func (cmd *completeCmd) Run(ctx context.Context, parsed *kong.Context, c *cli) error {
	words := cmd.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	if len(words) == 0 {
		words = []string{""}
	}
	found, wantsProducts := complete(parsed.Model.Node, words)
	if wantsProducts {
		found = append(found, productCandidates(ctx, c, words[len(words)-1])...)
	}
	if facet, before, prefix := facetAt(parsed.Model.Node, words); facet != "" {
		found = append(found, facetCandidates(ctx, c, facet, before, prefix)...)
	}
	for _, one := range found {
		sayf(os.Stdout, "%s\t%s\n", one.word, one.help)
	}
	return nil
}

type candidate struct{ word, help string }

// complete returns what the last word can become, after the words before it. products reports whether the id of a
// product can be there too.
func complete(root *kong.Node, words []string) (found []candidate, products bool) {
	node, arguments, last := root, 0, words[len(words)-1]
	var pending *kong.Flag
	for _, word := range words[:len(words)-1] {
		switch child := childOf(node, word); {
		case pending != nil:
			pending = nil
		case strings.HasPrefix(word, "-"):
			if f := flagOf(node, word); f != nil && !f.IsBool() && !strings.Contains(word, "=") {
				pending = f
			}
		case child != nil:
			node, arguments = child, 0
		default:
			arguments++
		}
	}
	name, value, isAssigned := strings.Cut(last, "=")
	command := defaultOf(node)
	switch {
	case pending != nil:
		return enumCandidates(pending.Value, "", last), false
	case strings.HasPrefix(last, "-") && isAssigned:
		if f := flagOf(node, name); f != nil {
			return enumCandidates(f.Value, name+"=", value), false
		}
		return nil, false
	case strings.HasPrefix(last, "-"):
		return flagCandidates(command, last), false
	}
	for _, child := range node.Children {
		if child.Type == kong.CommandNode && !child.Hidden && strings.HasPrefix(child.Name, last) {
			found = append(found, candidate{child.Name, firstSentence(child.Help)})
		}
	}
	argument := argumentAt(command, arguments)
	if argument == nil {
		return found, false
	}
	return append(found, enumCandidates(argument, "", last)...), isProduct(argument)
}

func childOf(node *kong.Node, name string) *kong.Node {
	i := slices.IndexFunc(node.Children, func(n *kong.Node) bool {
		return n.Type == kong.CommandNode && (n.Name == name || slices.Contains(n.Aliases, name))
	})
	if i < 0 {
		return nil
	}
	return node.Children[i]
}

// argumentAt returns a positional argument. The last one can take all words that follow.
func argumentAt(node *kong.Node, i int) *kong.Value {
	switch n := len(node.Positional); {
	case i < n:
		return node.Positional[i]
	case n > 0 && node.Positional[n-1].IsSlice():
		return node.Positional[n-1]
	}
	return nil
}

// isProduct reports whether an argument is the id of a product, perhaps among other ids.
func isProduct(v *kong.Value) bool { return strings.HasPrefix(v.Name, "product") || v.Name == "id" }

// defaultOf returns the command that runs without the name of a subcommand, as products is products list.
func defaultOf(node *kong.Node) *kong.Node {
	if node.DefaultCmd != nil {
		return node.DefaultCmd
	}
	return node
}

func flagOf(node *kong.Node, word string) *kong.Flag {
	name, _, _ := strings.Cut(word, "=")
	for _, group := range defaultOf(node).AllFlags(false) {
		for _, f := range group {
			if name == "--"+f.Name || f.Short != 0 && name == "-"+string(f.Short) {
				return f
			}
		}
	}
	return nil
}

func flagCandidates(node *kong.Node, prefix string) (found []candidate) {
	for _, group := range node.AllFlags(true) {
		for _, f := range group {
			if word := "--" + f.Name; strings.HasPrefix(word, prefix) {
				found = append(found, candidate{word, firstSentence(f.Help)})
			}
		}
	}
	return found
}

func enumCandidates(v *kong.Value, before, prefix string) (found []candidate) {
	for _, one := range v.EnumSlice() {
		if one != "" && strings.HasPrefix(one, prefix) {
			found = append(found, candidate{before + one, ""})
		}
	}
	return found
}

func firstSentence(help string) string {
	first, _, _ := strings.Cut(help, ". ")
	return strings.TrimSuffix(first, ".")
}

// productCandidates returns the ids of the mesh's products that begin with the prefix. It returns none if the mesh does
// not answer in time: a shell has nowhere to show an error.
func productCandidates(ctx context.Context, c *cli, prefix string) (found []candidate) {
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	// The flags of the line are not parsed, so the mesh is that of the environment.
	control, err := address{
		Control: os.Getenv("DRIFTLESS_CONTROL_URL"),
		Ingest:  os.Getenv("DRIFTLESS_INGEST_URL"),
	}.control(c)
	if err != nil {
		return nil
	}
	resp, err := control.ListProducts(ctx, connect.NewRequest(&controlv1.ListProductsRequest{Search: prefix}))
	if err != nil {
		return nil
	}
	for _, p := range resp.Msg.GetProducts() {
		if id := p.GetProductId(); strings.HasPrefix(id, prefix) && visible.Text(id) == id {
			found = append(found, candidate{id, visible.Text(p.GetDesired().GetProduct().GetName())})
		}
	}
	return found
}
