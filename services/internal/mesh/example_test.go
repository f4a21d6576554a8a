package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	meshv1 "github.com/driftless-sync/driftless/proto/driftless/mesh/v1"
	"github.com/driftless-sync/driftless/services/internal/local"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// A handler decides about each message. It takes the mug, gets the cup again after a failure, and gives the jug up.
func ExampleConsume() {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	m, closeMesh, err := exampleMesh(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer closeMesh()

	for _, id := range []string{"mug", "cup", "jug"} {
		subject := topology.CatalogSubject("default", topology.Live, id)
		if err := m.Publish(ctx, subject, &catalogv1.ProductChange{ProductId: id}); err != nil {
			fmt.Println(err)
			return
		}
	}

	handled := 0
	decide := func(_ context.Context, msg mesh.Message[*catalogv1.ProductChange]) mesh.Verdict {
		id := msg.Body.GetProductId()
		fmt.Printf("%s, attempt %d\n", id, msg.Attempt)
		if id == "cup" && msg.Attempt == 1 {
			return mesh.RetryIn(100*time.Millisecond, errors.New("Stripe does not answer"))
		}
		if handled++; handled == 3 {
			stop()
		}
		if id == "jug" {
			return mesh.Dead(&meshv1.DeadLetter{
				Account:   "default",
				ProductId: id,
				Reason:    "refused",
				Message:   "no name",
			})
		}
		return mesh.Ack()
	}
	// The worker ends with its context, after the verdict about the last message.
	worker := mesh.Worker{Service: topology.Push, Consumer: topology.PushLive}
	if err := mesh.Consume(ctx, m, worker, decide); err != nil {
		fmt.Println(err)
		return
	}
	letters, err := m.OpenLetters(context.Background(), topology.Push, "default", []string{"mug", "cup", "jug"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("given up:", letters[2].GetProductId(), letters[2].GetMessage())
	// Output:
	// mug, attempt 1
	// cup, attempt 1
	// jug, attempt 1
	// cup, attempt 2
	// given up: jug no name
}

// exampleMesh starts a NATS server with the streams and consumers of Driftless, and connects to it.
func exampleMesh(ctx context.Context) (m *mesh.Mesh, closeMesh func(), err error) {
	dir, err := os.MkdirTemp("", "driftless-example-")
	if err != nil {
		return nil, nil, err
	}
	logger := slog.New(slog.DiscardHandler)
	server, err := local.StartNATS(ctx, local.NATSConfig{DataDir: dir, NoSync: true, Logger: logger})
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	stop := func() {
		_ = server.Close()
		_ = os.RemoveAll(dir)
	}
	m, err = mesh.Connect(ctx, mesh.Config{URL: server.URL(), Name: "example", Logger: logger})
	if err != nil {
		stop()
		return nil, nil, err
	}
	if err := topology.Apply(ctx, m.JetStream(), topology.Options{}); err != nil {
		m.Close()
		stop()
		return nil, nil, err
	}
	return m, func() {
		m.Close()
		stop()
	}, nil
}
