package localnodes

import (
	"fmt"
	"os"

	"github.com/nats-io/nats-server/v2/server"
)

// variable makes the program a NATS node, with the configuration file that it names.
const variable = "DRIFTLESS_NATS_NODE"

// A test's program has no main of ours to ask.
//
//nolint:gochecknoinits // see above
func init() {
	file := os.Getenv(variable)
	if file == "" {
		return
	}
	if err := serve(file); err != nil {
		fmt.Fprintln(os.Stderr, "NATS node:", err)
		os.Exit(1) //nolint:forbidigo // the process is the node
	}
	os.Exit(0) //nolint:forbidigo // the process is the node
}

func serve(file string) error {
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		return err
	}
	srv, err := server.NewServer(options)
	if err != nil {
		return err
	}
	srv.ConfigureLogger()
	if err := server.Run(srv); err != nil {
		return err
	}
	srv.WaitForShutdown()
	return nil
}
