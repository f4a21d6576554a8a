package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Names of the rules.
const (
	ruleWord     = "word"
	ruleSentence = "sentence"
	ruleOpening  = "opening"
	ruleColumns  = "columns"
)

type finding struct {
	file, rule string
	line       int
	message    string
}

// checkFile checks a file by its kind. All others are checked as scripts: their comments begin with #.
func checkFile(path string) ([]finding, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	c := &checker{file: filepath.ToSlash(path)}
	switch {
	case strings.HasSuffix(path, ".go"):
		err = c.goFile(data)
	case strings.HasSuffix(path, ".md"):
		c.markdown(string(data))
	case strings.HasSuffix(path, ".proto"):
		c.comments(string(data), "//")
		c.columns(string(data), "")
	case strings.HasSuffix(path, ".sql"):
		// Statements of a migration stay as they are once it is released.
		c.comments(string(data), "--")
		c.columns(string(data), "--")
	default:
		c.comments(string(data), "#")
	}
	return c.findings, err
}

type checker struct {
	file     string
	findings []finding
}

func (c *checker) add(rule string, line int, message string) {
	c.findings = append(c.findings, finding{c.file, rule, line, message})
}

// prose checks sentences that begin on a line.
func (c *checker) prose(line int, text string) {
	c.words(line, text)
	long, opening := checkSentences(text)
	for _, m := range long {
		c.add(ruleSentence, line, m)
	}
	for _, m := range opening {
		c.add(ruleOpening, line, m)
	}
}

// columns checks the width of all lines that begin with a prefix.
func (c *checker) columns(text, prefix string) {
	line := 0
	for l := range strings.Lines(text) {
		line++
		if strings.HasPrefix(strings.TrimSpace(l), prefix) {
			c.widthOfWords(line, strings.TrimRight(l, "\n"))
		}
	}
}

// goFile checks comments completely, and the words of strings that look like messages.
func (c *checker) goFile(data []byte) error {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, c.file, data, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("parse: %w", err)
	}
	for _, group := range f.Comments {
		c.block(goComment(set, group))
	}
	ast.Inspect(f, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		if text, err := strconv.Unquote(lit.Value); err == nil && strings.Count(text, " ") > 1 {
			c.words(set.Position(lit.Pos()).Line, text)
		}
		return true
	})
	c.goColumns(set, f, string(data))
	return nil
}

// goColumns checks the width of code. Texts of messages, struct tags and the reason of a nolint may be longer: a search
// does not find a text that is split.
func (c *checker) goColumns(set *token.FileSet, f *ast.File, text string) {
	exempt := map[int]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && len(lit.Value) > maxColumns/3 {
			for line := set.Position(lit.Pos()).Line; line <= set.Position(lit.End()).Line; line++ {
				exempt[line] = true
			}
		}
		return true
	})
	for _, group := range f.Comments {
		for _, comment := range group.List {
			if strings.HasPrefix(comment.Text, "//nolint") {
				exempt[set.Position(comment.Pos()).Line] = true
			}
		}
	}
	line := 0
	for l := range strings.Lines(text) {
		line++
		if !exempt[line] {
			c.width(line, strings.TrimRight(l, "\n"))
		}
	}
}

// width checks one line. A tab counts four columns.
func (c *checker) width(line int, text string) {
	n := utf8.RuneCountInString(strings.ReplaceAll(text, "\t", "    "))
	if n > maxColumns {
		c.add(ruleColumns, line, fmt.Sprintf("%d columns, at most %d", n, maxColumns))
	}
}

// widthOfWords checks one line of words. One without a space, such as a link, cannot be broken.
func (c *checker) widthOfWords(line int, text string) {
	if strings.Contains(strings.TrimSpace(text), " ") {
		c.width(line, text)
	}
}

// words checks the words of a line that has no sentences.
func (c *checker) words(line int, text string) {
	for _, m := range checkWords(text) {
		c.add(ruleWord, line, m)
	}
}

// commentLine is a line of a comment, without its mark.
type commentLine struct {
	number int
	text   string
}

// goComment returns the lines of a comment of Go, directives as empty lines.
func goComment(set *token.FileSet, group *ast.CommentGroup) (out []commentLine) {
	for _, comment := range group.List {
		line := set.Position(comment.Pos()).Line
		text, isLine := strings.CutPrefix(comment.Text, "//")
		switch {
		case !isLine:
			text = strings.TrimSuffix(strings.TrimPrefix(text, "/*"), "*/")
			for l := range strings.Lines(text) {
				out = append(out, commentLine{line, strings.TrimRight(l, "\n")})
				line++
			}
		case directive.MatchString(text):
			out = append(out, commentLine{line, ""})
		default:
			out = append(out, commentLine{line, strings.TrimPrefix(text, " ")})
		}
	}
	return out
}

// directive matches comments for tools, without the mark: go:embed, nolint:gosec.
var directive = regexp.MustCompile(`^([a-z0-9]+:[a-z0-9]|nolint\b|line |export )`)

// paragraph collects the lines of a paragraph.
type paragraph struct {
	*checker

	begin int
	lines []string
}

func (p *paragraph) add(line int, text string) {
	if p.lines == nil {
		p.begin = line
	}
	p.lines = append(p.lines, text)
}

// end checks the paragraph, and begins another.
func (p *paragraph) end() {
	if p.lines != nil {
		p.prose(p.begin, strings.Join(p.lines, " "))
	}
	p.lines = nil
}

// block checks a comment by paragraphs. Indented lines are code.
func (c *checker) block(lines []commentLine) {
	p := paragraph{checker: c}
	for _, l := range lines {
		trimmed := strings.TrimSpace(l.text)
		switch {
		case trimmed == "" || strings.HasPrefix(l.text, "\t") || strings.HasPrefix(l.text, "    ") ||
			strings.HasPrefix(l.text, "//"):
			p.end()
		case strings.HasPrefix(trimmed, "- "):
			p.end()
			p.add(l.number, trimmed[2:])
		default:
			p.add(l.number, trimmed)
		}
	}
	p.end()
}

// comments checks lines that only have a comment.
func (c *checker) comments(text, mark string) {
	var group []commentLine
	line := 0
	for l := range strings.Lines(text) {
		line++
		trimmed := strings.TrimSpace(l)
		isDirective := strings.HasPrefix(trimmed, "#!") || strings.HasPrefix(trimmed, "-- +goose")
		if !strings.HasPrefix(trimmed, mark) || isDirective {
			c.block(group)
			group = nil
			continue
		}
		group = append(group, commentLine{line, strings.TrimPrefix(strings.TrimLeft(trimmed, mark[:1]), " ")})
	}
	c.block(group)
}

// isWide reports whether a line of Markdown may have any width: tables, headings, HTML, links and code.
func isWide(line string) bool {
	return strings.HasPrefix(line, "    ") || line != "" && strings.ContainsRune("|#<[", rune(line[0]))
}

// markdown checks paragraphs and list items completely, and the words of tables.
func (c *checker) markdown(text string) {
	p := paragraph{checker: c}
	line, fenced := 0, false
	for l := range strings.Lines(text) {
		line++
		l = strings.TrimRight(l, "\n")
		trimmed := strings.TrimSpace(l)
		if strings.HasPrefix(trimmed, "```") {
			p.end()
			fenced = !fenced
			continue
		}
		if fenced {
			continue
		}
		if !isWide(l) {
			c.widthOfWords(line, l)
		}
		switch {
		case strings.HasPrefix(l, "    ") && p.lines == nil:
		case trimmed == "" || strings.HasPrefix(trimmed, "<"):
			p.end()
		case strings.HasPrefix(trimmed, "|") || strings.HasPrefix(trimmed, "#"):
			p.end()
			c.words(line, trimmed)
		default:
			if item := listItem(trimmed); item != trimmed {
				p.end()
				trimmed = item
			}
			p.add(line, trimmed)
		}
	}
	p.end()
}

// listItem returns a list item without its marker, and any other line as it is.
func listItem(line string) string {
	for _, marker := range []string{"- ", "* "} {
		if rest, ok := strings.CutPrefix(line, marker); ok {
			return rest
		}
	}
	if number, rest, ok := strings.Cut(line, ". "); ok {
		if _, err := strconv.Atoi(number); err == nil {
			return rest
		}
	}
	return line
}
