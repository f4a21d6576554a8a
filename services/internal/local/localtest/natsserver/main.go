// Program natsserver is the NATS server of one test, or one node of localnodes. scripts/test builds it without the race
// detector. It reads a local.NATSConfig as JSON from its standard input, prints the server's address, and runs until
// the input ends. So it ends with the test, however that ends.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/driftless-sync/driftless/services/internal/local"
	_ "github.com/driftless-sync/driftless/services/internal/local/localnodes" // runs a node if its variable is set
)

func main() {
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "natsserver:", err)
		os.Exit(1)
	}
}

func serve(in io.Reader, out io.Writer) error {
	var cfg local.NATSConfig
	if err := json.NewDecoder(in).Decode(&cfg); err != nil { //nolint:musttag // localtest encodes the same type
		return fmt.Errorf("read the configuration: %w", err)
	}
	cfg.Logger = slog.New(slog.DiscardHandler)
	server, err := local.StartNATS(context.Background(), cfg)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, server.URL())
	if err == nil {
		_, err = io.Copy(io.Discard, in)
	}
	return errors.Join(err, server.Close())
}
