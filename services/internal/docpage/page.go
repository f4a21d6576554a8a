// Package docpage reads the commands of a page of the documentation, and compares what they print with the page. Only
// tests use it.
//
// A block of the language sh or bash has commands, and a text block right after it has their output. A block of the
// language console has both: commands after "$ ", each followed by some lines of its output in their order. A comment
// before a block says why a test does not run it, or not those of its lines that begin with some words:
//
//	<!-- not run: needs Kubernetes -->
//	<!-- not run (kubectl, driftless trace): needs Kubernetes and Jaeger -->
package docpage

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Block is a block of commands on a page.
type Block struct {
	// Page is the path of the page, and Line the line on which the block begins, for messages.
	Page string
	Line int
	// Script is what a shell runs.
	Script string
	// Output is what the page says that the commands print, for Compare. Empty if it does not say that.
	Output string
	// NotRun says why a test does not run the block. If Programs has names, that is about the lines that begin with
	// one of them.
	NotRun   string
	Programs []string
}

var (
	fence  = regexp.MustCompile("^( *)```([a-z]*)$")
	marker = regexp.MustCompile(`^ *<!-- not run(?: \(([^)]+)\))?: (.+) -->$`)
)

// Read returns the blocks of commands of a page in their order.
func Read(path string) (out []Block, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read a page: %w", err)
	}
	return parse(path, strings.Split(string(text), "\n"))
}

func parse(path string, lines []string) (out []Block, err error) {
	var note []string
	// before is the index in out of the block of commands that an output may follow, or -1.
	before := -1
	for i := 0; i < len(lines); i++ {
		if m := marker.FindStringSubmatch(lines[i]); m != nil {
			note, before = m, -1
			continue
		}
		m := fence.FindStringSubmatch(lines[i])
		if m == nil {
			if strings.TrimSpace(lines[i]) != "" {
				note, before = nil, -1
			}
			continue
		}
		start := i + 1
		for i++; i < len(lines) && strings.TrimSpace(lines[i]) != "```"; i++ {
			lines[i] = strings.TrimPrefix(lines[i], m[1])
		}
		if i == len(lines) {
			return nil, fmt.Errorf("%s:%d: the block has no end", path, start)
		}
		blocks := commands(m[2], lines[start:i], before, out)
		for _, b := range blocks {
			b.Page, b.Line = path, b.Line+start
			out = append(out, marked(b, note))
		}
		note = nil
		before = -1
		if len(blocks) > 0 && m[2] != "console" {
			before = len(out) - 1
		}
	}
	return out, nil
}

// commands returns the commands of a block, or stores the block as the output of those before it.
func commands(language string, lines []string, before int, blocks []Block) []Block {
	text := strings.Join(lines, "\n") + "\n"
	switch language {
	case "sh", "bash":
		return []Block{{Script: text}}
	case "console":
		return prompts(lines)
	case "text":
		if before >= 0 {
			blocks[before].Output = text
		}
	}
	return nil
}

// prompts returns the commands after "$ " with the lines that follow each.
func prompts(lines []string) (out []Block) {
	for i, line := range lines {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			out = append(out, Block{Line: i, Script: command + "\n"})
		} else if len(out) > 0 {
			out[len(out)-1].Output += anything + "\n" + line + "\n"
		}
	}
	for i := range out {
		if out[i].Output != "" {
			out[i].Output += anything + "\n"
		}
	}
	return out
}

// marked returns the block with what the comment before it says.
func marked(b Block, note []string) Block {
	if note == nil {
		return b
	}
	b.NotRun = note[2]
	if note[1] != "" {
		b.Programs = strings.Split(note[1], ", ")
	}
	return b
}

// Runnable returns the part of the script that a test has to run. It is empty if there is none.
func (b Block) Runnable() string {
	if b.NotRun == "" {
		return b.Script
	}
	if len(b.Programs) == 0 {
		return ""
	}
	var out strings.Builder
	for line := range strings.Lines(b.Script) {
		if !slices.ContainsFunc(b.Programs, func(p string) bool { return isOf(line, p) }) {
			out.WriteString(line)
		}
	}
	return strings.TrimSpace(out.String())
}

// isOf reports whether a line begins with the words of a program.
func isOf(line, program string) bool {
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), program)
	return ok && (rest == "" || rest[0] == ' ')
}

// String returns where the block is.
func (b Block) String() string { return fmt.Sprintf("%s:%d", b.Page, b.Line) }
