// Command driftless runs a mesh on one machine, and operates a mesh anywhere.
package main

import (
	"os"

	"github.com/driftless-sync/driftless/services/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:])) }
