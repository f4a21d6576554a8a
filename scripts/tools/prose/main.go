// Command prose checks the words of the repository by docs/house-style.md: Markdown, comments and messages of Go code,
// and comments of contracts, migrations, scripts and configuration.
//
//	prose FILE...
//
// It prints one line for each finding, and exits with 1 if there is one.
package main

import (
	"fmt"
	"os"
)

func main() {
	failed, err := run(os.Args[1:])
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "prose:", err)
		os.Exit(2)
	case failed:
		os.Exit(1)
	}
}

func run(files []string) (failed bool, err error) {
	for _, file := range files {
		findings, err := checkFile(file)
		if err != nil {
			return false, err
		}
		for _, f := range findings {
			fmt.Printf("%s:%d: %s: %s\n", f.file, f.line, f.rule, f.message)
			failed = true
		}
	}
	return failed, nil
}
