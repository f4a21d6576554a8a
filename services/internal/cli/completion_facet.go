package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	"connectrpc.com/connect"
	"github.com/alecthomas/kong"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// facetAt returns the facet of products whose values the last word can have, "" if there is none. The last word is the
// value of a flag with the tag facet: after the flag, or after "=". before is what comes before the value in the word.
func facetAt(root *kong.Node, words []string) (facet, before, prefix string) {
	node, last := root, words[len(words)-1]
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
			node = child
		}
	}
	prefix = last
	if name, value, isAssigned := strings.Cut(last, "="); pending == nil && isAssigned && strings.HasPrefix(last, "-") {
		pending, before, prefix = flagOf(node, name), name+"=", value
	}
	if pending == nil {
		return "", "", ""
	}
	return pending.Tag.Get("facet"), before, prefix
}

// facetCandidates returns the values that products have now, with how many do. It returns none if the mesh does not
// answer in time.
func facetCandidates(ctx context.Context, c *cli, facet, before, prefix string) (found []candidate) {
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	control, err := address{
		Control: os.Getenv("DRIFTLESS_CONTROL_URL"),
		Ingest:  os.Getenv("DRIFTLESS_INGEST_URL"),
	}.control(c)
	if err != nil {
		return nil
	}
	resp, err := control.CountProducts(ctx, connect.NewRequest(&controlv1.CountProductsRequest{}))
	if err != nil {
		return nil
	}
	for _, f := range resp.Msg.GetFacets() {
		if f.GetName() != facet {
			continue
		}
		for _, v := range f.GetValues() {
			if value := v.GetValue(); strings.HasPrefix(value, prefix) && visible.Text(value) == value {
				products := fmt.Sprintf("%s %s", counted(v.GetCount(), v.GetIsMinimum()),
					plural(v.GetCount(), "product", "products"))
				found = append(found, candidate{before + value, products})
			}
		}
	}
	return found
}
