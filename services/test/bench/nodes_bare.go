package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/driftless-sync/driftless/services/internal/local/localnodes"
)

// waitRecorder records the durations of operations that run one after the other. Concurrent use is safe.
type waitRecorder struct {
	mu      sync.Mutex
	n       int
	began   time.Time
	longest time.Duration
}

// repeat runs an operation, numbered from 1, until ctx ends.
func (w *waitRecorder) repeat(ctx context.Context, do func(ctx context.Context, n int) error) error {
	for n := 1; ; n++ {
		w.mu.Lock()
		w.n, w.began = w.n+1, time.Now()
		w.mu.Unlock()
		err := do(ctx, n)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to stop
		}
		if err != nil {
			return err
		}
		w.mu.Lock()
		w.longest = max(w.longest, time.Since(w.began))
		w.mu.Unlock()
	}
}

func (w *waitRecorder) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n, w.longest = 0, 0
}

// seen returns the count since the reset and the longest wait in milliseconds, including the running one.
func (w *waitRecorder) seen() (n int, longest float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n, float64(max(w.longest, time.Since(w.began)).Microseconds()) / 1000
}

// bareClient publishes a message and fetches it: the minimum of a change. It waits as long as needed and retries as
// soon as that can help, so its waits are those of the cluster.
type bareClient struct {
	conn *nats.Conn
	js   jetstream.JetStream
	cons jetstream.Consumer
}

// bareRetryInterval is how long the bare client waits for an answer before it retries.
const bareRetryInterval = 250 * time.Millisecond

func newBareClient(ctx context.Context, url string) (*bareClient, error) {
	conn, err := nats.Connect(url,
		nats.MaxReconnects(-1), nats.PingInterval(time.Second), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("connect the bare client: %w", err)
	}
	b := &bareClient{conn: conn}
	if b.js, err = jetstream.New(conn); err != nil {
		return nil, err
	}
	if _, err := b.js.CreateStream(ctx, jetstream.StreamConfig{
		Name:     "BARE",
		Subjects: []string{"bare"},
		Replicas: localnodes.Size,
		MaxMsgs:  1000,
	}); err != nil {
		return nil, fmt.Errorf("make the bare client's stream: %w", err)
	}
	b.cons, err = b.js.CreateConsumer(ctx, "BARE", jetstream.ConsumerConfig{
		Durable: "bare", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Second,
	})
	return b, err
}

func (b *bareClient) roundTrip(ctx context.Context, n int) error {
	id := strconv.Itoa(n)
	if err := b.again(ctx, func(ctx context.Context) error {
		_, err := b.js.Publish(ctx, "bare", []byte(id), jetstream.WithMsgID(id))
		return err
	}); err != nil {
		return err
	}
	if err := b.again(ctx, func(ctx context.Context) error { return b.fetch(ctx, id) }); err != nil {
		return err
	}
	// A change takes some milliseconds in push and Stripe.
	return rest(ctx, 10*time.Millisecond)
}

// fetch reads messages up to the one with the body.
func (b *bareClient) fetch(ctx context.Context, body string) error {
	for {
		batch, err := b.cons.Fetch(1, jetstream.FetchContext(ctx))
		if err != nil {
			return err
		}
		n := 0
		for msg := range batch.Messages() {
			n++
			if err := msg.Ack(); err != nil {
				return err
			}
			if string(msg.Data()) == body {
				return nil
			}
		}
		if n == 0 {
			return errors.Join(errors.New("no message"), batch.Error())
		}
	}
}

func (b *bareClient) again(ctx context.Context, do func(context.Context) error) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, bareRetryInterval)
		err := do(attempt)
		cancel()
		if err == nil {
			return nil
		}
		if err := rest(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// productName reads a product's name from the simulator.
func (b *pushBench) productName(ctx context.Context, product string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.sim+"/v1/products/"+product, nil)
	if err != nil {
		return "", err
	}
	req.SetBasicAuth(benchKey, "")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var held struct {
		Name string `json:"name"`
	}
	return held.Name, json.NewDecoder(res.Body).Decode(&held)
}
