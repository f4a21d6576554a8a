package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Names of the rules.
const (
	ruleWords    = "word"
	ruleLong     = "sentence"
	ruleOpening  = "opening"
	ruleColumns  = "columns"
	wideByNature = "|#<["
)

type finding struct {
	file, rule string
	line       int
	message    string
}

// checkFile checks a file by its kind. Other kinds have no findings.
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
		c.columns(string(data), false)
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

// paragraph checks prose that begins on a line.
func (c *checker) paragraph(line int, text string) {
	for _, m := range checkWords(text) {
		c.add(ruleWords, line, m)
	}
	long, opening := checkSentences(text)
	for _, m := range long {
		c.add(ruleLong, line, m)
	}
	for _, m := range opening {
		c.add(ruleOpening, line, m)
	}
}

func (c *checker) columns(text string, markdown bool) {
	line, fenced := 0, false
	for l := range strings.Lines(text) {
		line++
		l = strings.TrimRight(l, "\n")
		fenced = fenced != strings.HasPrefix(l, "```")
		if markdown &&
			(fenced || l != "" && strings.ContainsRune(wideByNature, rune(l[0])) || strings.HasPrefix(l, "    ")) {
			continue
		}
		// A line without a space, as a link, cannot be broken.
		if strings.Contains(strings.TrimSpace(l), " ") {
			c.width(line, l)
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
		c.block(set.Position(group.Pos()).Line, group.Text())
	}
	ast.Inspect(f, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		if text, err := strconv.Unquote(lit.Value); err == nil && strings.Count(text, " ") > 1 {
			for _, m := range checkWords(text) {
				c.add(ruleWords, set.Position(lit.Pos()).Line, m)
			}
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

// block checks a comment by paragraphs. Indented lines are code.
func (c *checker) block(line int, text string) {
	var paragraph []string
	begin := line
	flush := func() {
		if len(paragraph) > 0 {
			c.paragraph(begin, strings.Join(paragraph, " "))
		}
		paragraph = nil
	}
	for l := range strings.Lines(text) {
		trimmed := strings.TrimSpace(l)
		switch {
		case trimmed == "" || strings.HasPrefix(l, "\t") || strings.HasPrefix(l, "    ") || strings.HasPrefix(l, "//"):
			flush()
		case strings.HasPrefix(trimmed, "- "):
			flush()
			begin, paragraph = line, []string{trimmed[2:]}
		default:
			if paragraph == nil {
				begin = line
			}
			paragraph = append(paragraph, trimmed)
		}
		line++
	}
	flush()
}

// comments checks lines that only have a comment.
func (c *checker) comments(text, mark string) {
	var group []string
	begin, line := 0, 0
	flush := func() {
		if len(group) > 0 {
			c.block(begin, strings.Join(group, "\n"))
		}
		group = nil
	}
	for l := range strings.Lines(text) {
		line++
		trimmed := strings.TrimSpace(l)
		if !strings.HasPrefix(trimmed, mark) || strings.HasPrefix(trimmed, "#!") {
			flush()
			continue
		}
		if group == nil {
			begin = line
		}
		group = append(group, strings.TrimPrefix(strings.TrimLeft(trimmed, mark[:1]), " "))
	}
	flush()
}

// markdown checks paragraphs and list items completely, and the words of tables.
func (c *checker) markdown(text string) {
	var paragraph []string
	begin, line := 0, 0
	flush := func() {
		if len(paragraph) > 0 {
			c.paragraph(begin, strings.Join(paragraph, " "))
		}
		paragraph = nil
	}
	fenced := false
	for l := range strings.Lines(text) {
		line++
		trimmed := strings.TrimSpace(l)
		switch {
		case strings.HasPrefix(trimmed, "```"):
			flush()
			fenced = !fenced
		case fenced || strings.HasPrefix(l, "    ") && paragraph == nil:
		case trimmed == "" || strings.HasPrefix(trimmed, "<"):
			flush()
		case strings.HasPrefix(trimmed, "|") || strings.HasPrefix(trimmed, "#"):
			flush()
			for _, m := range checkWords(trimmed) {
				c.add(ruleWords, line, m)
			}
		default:
			if item := listItem(trimmed); item != trimmed {
				flush()
				trimmed = item
			}
			if paragraph == nil {
				begin = line
			}
			paragraph = append(paragraph, trimmed)
		}
	}
	flush()
	c.columns(text, true)
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
