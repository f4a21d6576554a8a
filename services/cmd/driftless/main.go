// Command driftless runs a whole mesh on one machine, and is the operator's tool for a mesh anywhere.
package main

import (
	"os"

	"github.com/driftless-sync/driftless/services/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:])) }
