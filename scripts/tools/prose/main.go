// Command prose checks the words of the repository by docs/house-style.md: Markdown, comments and messages of Go code,
// and comments of contracts, scripts and configuration.
//
//	prose [-update] [-all] FILE...
//
// It prints one line for each finding. It exits with 1 if a file has more findings of a rule than the baseline allows.
// The baseline has the findings from before the rules. It may only shrink, and -update writes it. With -all the
// baseline is ignored.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

func main() {
	update := flag.Bool("update", false, "write the baseline")
	all := flag.Bool("all", false, "ignore the baseline")
	baselineFile := flag.String("baseline", "", "file of what is allowed to stay for now")
	flag.Parse()
	failed, err := run(flag.Args(), *baselineFile, *update, *all)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "prose:", err)
		os.Exit(2)
	case failed:
		os.Exit(1)
	}
}

func run(files []string, baselineFile string, update, all bool) (failed bool, err error) {
	var findings []finding
	for _, file := range files {
		found, err := checkFile(file)
		if err != nil {
			return false, err
		}
		findings = append(findings, found...)
	}
	counts := map[place]int{}
	for _, f := range findings {
		counts[f.place]++
	}
	if update {
		return false, writeBaseline(baselineFile, counts)
	}
	allowed := map[place]int{}
	if !all && baselineFile != "" {
		if allowed, err = readBaseline(baselineFile); err != nil {
			return false, err
		}
	}
	for _, f := range findings {
		if counts[f.place] > allowed[f.place] {
			fmt.Printf("%s:%d: %s: %s\n", f.file, f.line, f.rule, f.message)
			failed = true
		}
	}
	return failed, nil
}

// place is a rule in a file: what the baseline counts.
type place struct{ file, rule string }

func readBaseline(path string) (map[place]int, error) {
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the baseline: %w", err)
	}
	out := map[place]int{}
	for line := range strings.Lines(string(data)) {
		var p place
		var n int
		if _, err := fmt.Sscanf(line, "%s %s %d", &p.file, &p.rule, &n); err != nil {
			return nil, fmt.Errorf("baseline %s: %q is not FILE RULE COUNT: %w", path, line, err)
		}
		out[p] = n
	}
	return out, nil
}

func writeBaseline(path string, counts map[place]int) error {
	places := make([]place, 0, len(counts))
	for p := range counts {
		places = append(places, p)
	}
	slices.SortFunc(places,
		func(a, b place) int { return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.rule, b.rule)) })
	var b strings.Builder
	for _, p := range places {
		fmt.Fprintf(&b, "%s %s %d\n", p.file, p.rule, counts[p])
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write the baseline: %w", err)
	}
	return nil
}
