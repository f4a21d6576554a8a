package docpage

import (
	"fmt"
	"regexp"
	"strings"
)

// changing are the texts that are others in each run, with what stands for them. A rule sees what the ones before it
// have written.
var changing = []struct {
	text *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\b(price|prod|evt|req|we)_[0-9A-Za-z]{10,}\b`), "${1}_ID"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "TRACE"},
	{regexp.MustCompile(`\b[a-z]+://127\.0\.0\.1:\d+`), "ADDRESS"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?`), "TIME"},
	{regexp.MustCompile(`\b\d\d:\d\d(:\d\d)?\b`), "TIME"},
	{regexp.MustCompile(`\bversion +\d+\b`), "version N"},
	{regexp.MustCompile(`\b(now|(\d+h)?(\d+m)?\d+ ?s ago)\b`), "AGO"},
	{regexp.MustCompile(`\b(\d+h)?(\d+m)?\d+(\.\d+)? ?m?s\b`), "SPAN"},
	{regexp.MustCompile(`, \d+ messages? in flight: this may change`), ""},
	// The widths of columns depend on the texts above.
	{regexp.MustCompile(`(\S) {2,}`), "$1  "},
	{regexp.MustCompile(`(?m) +$`), ""},
}

// Normalize replaces times, durations, versions, addresses and random ids, which are others in each run.
func Normalize(text string) string {
	for _, c := range changing {
		text = c.text.ReplaceAllString(text, c.with)
	}
	return text
}

// anything is the line of an output on a page that stands for any number of lines.
const anything = "..."

// Compare returns an error unless the output is the one of the page. A line "..." of the page stands for any number of
// lines. Times, durations, versions, addresses and random ids are not compared.
func Compare(page, output string) error {
	want := strings.Split(strings.Trim(Normalize(page), "\n"), "\n")
	have := strings.Split(strings.Trim(Normalize(output), "\n"), "\n")
	missing := 0
	if match(want, have, &missing) {
		return nil
	}
	if missing < len(want) {
		return fmt.Errorf("the page says:\n%s\nit prints:\n%s\nthe first line that it does not print: %s",
			page, output, want[missing])
	}
	return fmt.Errorf("the page says:\n%s\nit prints more:\n%s", page, output)
}

// match reports whether all lines match. It stores the first line of want that was never matched.
func match(want, have []string, missing *int) bool {
	at := func(n int) { *missing = max(*missing, n) }
	var walk func(i, j int) bool
	walk = func(i, j int) bool {
		at(i)
		switch {
		case i == len(want):
			return j == len(have)
		case want[i] == anything:
			for k := j; k <= len(have); k++ {
				if walk(i+1, k) {
					return true
				}
			}
			return false
		default:
			return j < len(have) && want[i] == have[j] && walk(i+1, j+1)
		}
	}
	return walk(0, 0)
}
