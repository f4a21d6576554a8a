package productfile

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// parseYAML returns the documents of a YAML file.
func parseYAML(data []byte) (all []*node, err error) {
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		var syntax yaml.Error
		if errors.As(err, &syntax) && syntax.GetToken() != nil {
			return nil, faultf(syntax.GetToken().Position.Line, "", "this is no YAML: %s", syntax.GetMessage())
		}
		return nil, faultf(1, "", "this is no YAML: %s", err)
	}
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		n, err := fromYAML(doc.Body, 0)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

func fromYAML(in ast.Node, depth int) (*node, error) {
	line := in.GetToken().Position.Line
	if depth > maxDepth {
		return nil, faultf(line, "", "values are nested more than %d deep", maxDepth)
	}
	switch v := in.(type) {
	case *ast.MappingNode:
		return yamlObject(line, v.Values, depth)
	case *ast.MappingValueNode:
		return yamlObject(line, []*ast.MappingValueNode{v}, depth)
	case *ast.SequenceNode:
		n := &node{kind: list, line: line}
		for _, value := range v.Values {
			item, err := fromYAML(value, depth+1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
		}
		return n, nil
	case *ast.StringNode:
		return &node{kind: text, text: v.Value, line: line}, nil
	case *ast.LiteralNode:
		return &node{kind: text, text: v.Value.Value, line: line}, nil
	case *ast.InfinityNode:
		return &node{kind: text, text: strings.TrimLeft(strings.ToLower(v.GetToken().Value), "+."), line: line}, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.NanNode:
		return &node{kind: number, text: in.GetToken().Value, line: line}, nil
	case *ast.BoolNode:
		return &node{kind: boolean, text: strings.ToLower(v.GetToken().Value), line: line}, nil
	case *ast.NullNode:
		return &node{kind: null, line: line}, nil
	default:
		return nil, faultf(line, "", "anchors, aliases, merges and tags of YAML are not read: write the values out")
	}
}

func yamlObject(line int, values []*ast.MappingValueNode, depth int) (*node, error) {
	n := &node{kind: object, line: line}
	for _, value := range values {
		key, ok := value.Key.(*ast.StringNode)
		if !ok {
			return nil, faultf(value.GetToken().Position.Line, "", "the key %s must be a text: put it in quotes",
				value.Key)
		}
		item, err := fromYAML(value.Value, depth+1)
		if err != nil {
			return nil, err
		}
		if !n.add(key.Value, item) {
			return nil, faultf(key.GetToken().Position.Line, key.Value, "is given twice")
		}
	}
	return n, nil
}

// plainText is a text that YAML takes for itself without quotes, unless it is one of the words.
var (
	plainText = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*( [A-Za-z0-9_-]+)*$`)
	yamlWords = []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n", "inf", "nan"}
)

func appendYAMLText(out []byte, s string) []byte {
	if plainText.MatchString(s) && !slices.Contains(yamlWords, strings.ToLower(s)) {
		return append(out, s...)
	}
	return appendText(out, s)
}

// appendYAML appends a value that begins after a key or a dash. An object or list with items goes on to new lines with
// the indent.
func appendYAML(out []byte, n *node, indent int) []byte {
	if len(n.items) == 0 {
		if n.kind == text {
			return append(appendYAMLText(append(out, ' '), n.text), '\n')
		}
		return append(appendJSON(append(out, ' '), n), '\n')
	}
	if n.kind == object {
		return appendYAMLFields(append(out, '\n'), n, indent, true)
	}
	out = append(out, '\n')
	for _, item := range n.items {
		out = appendYAMLItem(out, item, indent)
	}
	return out
}

// appendYAMLItem appends an item of a list.
func appendYAMLItem(out []byte, item *node, indent int) []byte {
	out = append(append(out, strings.Repeat(" ", indent)...), '-')
	if item.kind == object && len(item.items) > 0 {
		return appendYAMLFields(append(out, ' '), item, indent+2, false)
	}
	return appendYAML(out, item, indent+2)
}

// appendYAMLFields appends the fields of an object. The first one is indented unless it follows a dash.
func appendYAMLFields(out []byte, n *node, indent int, first bool) []byte {
	for i, key := range n.keys {
		if i > 0 || first {
			out = append(out, strings.Repeat(" ", indent)...)
		}
		out = appendYAML(append(appendYAMLText(out, key), ':'), n.items[i], indent+2)
	}
	return out
}
