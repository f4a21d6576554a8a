package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// step is one part of a benchmark, named by what it does: "filling the tables".
type step struct {
	name string
	run  func(context.Context) error
}

// runSteps runs steps one after the other, and prints to standard error how long each took.
func runSteps(ctx context.Context, steps []step) error {
	for _, s := range steps {
		begun := time.Now()
		fmt.Fprintf(os.Stderr, "%s ...", s.name)
		if err := s.run(ctx); err != nil {
			fmt.Fprintln(os.Stderr)
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(os.Stderr, " %.1f s\n", time.Since(begun).Seconds())
	}
	return nil
}
