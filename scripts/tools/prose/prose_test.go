package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// check writes a file and returns the rules of what is found in it, by line.
func check(t *testing.T, name, text string) (out []string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	findings, err := checkFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		out = append(out, f.rule)
	}
	return out
}

func TestCheckFile(t *testing.T) {
	long := strings.Repeat("word ", maxWords+1)
	for name, c := range map[string]struct {
		file, text string
		want       string
	}{
		"a plain page":             {"a.md", "# Title\n\nA short sentence. Another one.\n", ""},
		"a banned word":            {"a.md", "The newest state counts.\n", "word"},
		"a banned word in a table": {"a.md", "| a |\n|---|\n| mend it |\n", "word"},
		"a banned word in code":    {"a.md", "The owner `newest` counts.\n\n```\nmend\n```\n", ""},
		"a long sentence":          {"a.md", "A " + long + ".\n", "columns sentence"},
		"a long sentence over two lines": {
			"a.md",
			strings.Repeat("word ", 20) + "\n" + strings.Repeat("word ", 20) + ".\n", "sentence",
		},
		"two sentences over two lines": {
			"a.md",
			strings.Repeat("word ", 20) + ".\n" + strings.Repeat("word ", 20) + ".\n", "",
		},
		"a bold sentence ends": {
			"a.md",
			"**" + strings.Repeat("word ", 20) + "end.** " + strings.Repeat("word ", 20) + ".\n", "columns",
		},
		"a list item ends a sentence": {
			"a.md",
			"- " + strings.Repeat("word ", 20) + "\n- " + strings.Repeat("word ", 20) + "\n", "",
		},
		"a sentence that begins with what": {"a.md", "It works. What cannot be read is skipped.\n", "opening"},
		"that is the subject":              {"a.md", "That is all. What is next?\n", ""},
		"a comment of Go":                  {"a.go", "package a\n\n// F mends it.\nfunc F() {}\n", "word"},
		"a message of Go":                  {"a.go", "package a\n\nconst m = \"it was read in vain today\"\n", "word"},
		"a name of Go":                     {"a.go", "package a\n\nconst m = \"newest\"\n", ""},
		"a wide line of Go": {
			"a.go",
			"package a\n\nvar a, b = 1, 2 +" + strings.Repeat(" 1 +", 30) + " 3\n", "columns",
		},
		"a wide text of Go": {
			"a.go", "package a\n\nconst m = \"" + strings.Repeat("text ", 30) + "\"\n",
			"",
		},
		"a comment of a contract": {"a.proto", "// The newest state.\nmessage A {}\n", "word"},
		"a comment of a script":   {"a.sh", "#!/bin/sh\n# mends it\nmend=1\n", "word"},
		"a comment of a migration": {
			"a.sql", "-- +goose Up\n-- Of this it mends.\nALTER TABLE a\n    -- " + long + ".\n    ADD b text;\n",
			"word opening sentence columns",
		},
		"a statement of a migration":    {"a.sql", "SELECT 'mend', " + long + ";\n", ""},
		"a long line of code in a list": {"a.md", "- Run:\n\n  ```sh\n  " + long + "\n  ```\n", ""},
		"a long line after code in a list": {
			"a.md", "- Run:\n\n  ```sh\n  true\n  ```\n\n" + strings.Repeat("word. ", 25) + "\n",
			"columns",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(check(t, c.file, c.text), " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestCheckFile_NamesTheLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.go")
	text := "package a\n\n// F is first.\n//\n//\n//go:noinline\n// It mends.\nfunc F() {}\n\n/*\nG mends.\n*/\nfunc G() {}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	findings, err := checkFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(findings) != 2 || findings[0].line != 7 || findings[1].line != 11 {
		t.Errorf("got %v, want findings in lines 7 and 11", findings)
	}
}

func TestRun_FailsOnFindings(t *testing.T) {
	t.Chdir(t.TempDir())
	for text, want := range map[string]bool{"Mend it.\n": true, "Repair it.\n": false} {
		if err := os.WriteFile("a.md", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		failed, err := run([]string{"a.md"})
		if err != nil {
			t.Fatal(err)
		}
		if failed != want {
			t.Errorf("%q: failed %v, want %v", text, failed, want)
		}
	}
}
