package localnodes

import (
	"fmt"
	"os"

	"github.com/nats-io/nats-server/v2/server"
)

// nodeVariable names a configuration file. If it is set, the program runs as a NATS node with it.
const nodeVariable = "DRIFTLESS_NATS_NODE"

// init runs the node, because the main function of a test's program is not ours.
//
//nolint:gochecknoinits // see above
func init() {
	file := os.Getenv(nodeVariable)
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
