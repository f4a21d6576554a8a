package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/httpserver"
	"github.com/driftless-sync/driftless/services/internal/local"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/stripeapi"
	"github.com/driftless-sync/driftless/services/internal/topology"
	"github.com/driftless-sync/driftless/services/stripesim"
)

const (
	worldKey    = "sk_test_bench"
	worldSecret = "whsec_bench" //nolint:gosec // the simulator's
	// worldVersion is the catalog version of every product.
	worldVersion = 1000
)

// world is a catalog and a Stripe that are equal, and a mesh with both states: the result of months of work, made in
// minutes.
type world struct {
	products int
	nats     string
	database string
	simURL   string
	// pullAddr and reconciliationAddr are the addresses of the services.
	pullAddr, reconciliationAddr string
	mesh                         *mesh.Mesh
	stores                       *state.Stores
	// ledger is a connection to the ledger's database.
	ledger *pgx.Conn
	sim    *stripesim.Sim
	// silent edits Stripe without an event, and loud with events.
	silent, loud *stripesim.Dashboard
	// past is how far the simulator's clock is in the past, in nanoseconds.
	past  atomic.Int64
	close []func() error
}

func newWorld(ctx context.Context, products int) (w *world, err error) {
	w = &world{products: products}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.stop())
		}
	}()
	dir, err := os.MkdirTemp("", "driftless-bench-")
	if err != nil {
		return w, fmt.Errorf("make a data directory: %w", err)
	}
	w.close = append(w.close, func() error { return os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // Postgres' own user must be able to enter it
		return w, fmt.Errorf("make a data directory: %w", err)
	}
	pg, err := local.StartPostgres(ctx, local.PostgresConfig{DataDir: filepath.Join(dir, "postgres")})
	if err != nil {
		return w, err
	}
	w.close = append(w.close, pg.Close)
	w.database = pg.URL()
	if w.ledger, err = pgx.Connect(ctx, w.database); err != nil {
		return w, fmt.Errorf("connect to the ledger: %w", err)
	}
	w.close = append(w.close, func() error { return w.ledger.Close(context.WithoutCancel(ctx)) })
	server, err := local.StartNATS(ctx, local.NATSConfig{DataDir: filepath.Join(dir, "nats")})
	if err != nil {
		return w, err
	}
	w.close = append(w.close, server.Close)
	w.nats = server.URL()
	if w.mesh, err = mesh.Connect(ctx, mesh.Config{URL: w.nats, Name: "bench"}); err != nil {
		return w, err
	}
	w.stores = state.New(w.mesh)
	w.close = append(w.close, func() error { w.mesh.Close(); return nil })
	if err := topology.Apply(ctx, w.mesh.JetStream(), topology.Options{}); err != nil {
		return w, err
	}
	for _, addr := range []*string{&w.pullAddr, &w.reconciliationAddr} {
		if *addr, err = freeAddr(); err != nil {
			return w, err
		}
	}
	err = w.startSim(ctx)
	return w, err
}

func (w *world) stop() (err error) {
	for _, f := range slices.Backward(w.close) {
		err = errors.Join(err, f())
	}
	w.close = nil
	return err
}

func (w *world) startSim(ctx context.Context) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a local address
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	w.simURL = "http://" + listener.Addr().String()
	w.sim, err = stripesim.New(stripesim.Config{
		Limits: stripesim.Limits{Off: true}, RequestLog: -1, Logger: slog.New(slog.DiscardHandler),
		Clock: func() time.Time { return time.Now().Add(-time.Duration(w.past.Load())) },
		Webhooks: []stripesim.Webhook{{
			URL:     "http://" + w.pullAddr + "/stripe/webhook",
			Secrets: []string{worldSecret},
		}},
	})
	if err != nil {
		return err
	}
	w.silent, w.loud = w.sim.Dashboard(), w.sim.Dashboard()
	w.silent.Silent = true
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 2)
	go func() {
		done <- httpserver.Run(ctx, httpserver.Config{
			Listener: listener,
			Handler:  w.sim.Handler(),
			Logger:   slog.New(slog.DiscardHandler),
		})
	}()
	go func() { w.sim.Run(ctx); done <- nil }()
	w.close = append(w.close, func() error {
		cancel()
		return errors.Join(<-done, <-done, w.sim.Close())
	})
	return nil
}

func productID(i int) string { return "product-" + strconv.Itoa(i) }

func priceID(i int) string { return productID(i) + "-eur" }

// wanted returns the desired state of a product.
func wanted(id string) *catalogv1.ProductChange {
	return &catalogv1.ProductChange{
		Account: benchAccount, ProductId: id, Version: worldVersion, Operation: catalogv1.Operation_OPERATION_UPSERT,
		CommittedAt: timestamppb.New(time.Unix(1_750_000_000, 0)),
		Product: &catalogv1.Product{
			Id: id, Name: "Product " + id,
			Description: "Words about " + id + ", as a shop has them: what it is, and what it is good for.",
			Metadata:    map[string]string{"sku": "SKU-" + id, "colour": "red"},
			Prices: []*catalogv1.Price{{
				Id:         id + "-eur",
				Currency:   "eur",
				UnitAmount: "1400",
				Nickname:   "Standard",
			}},
		},
	}
}

// fillStripe creates every product and its price.
//
// A catalog grows over years, so the creation times are spread: a scan lists ranges of creation times concurrently.
func (w *world) fillStripe(ctx context.Context) error {
	const years = 3 * 365 * 24 * time.Hour
	defer w.past.Store(0)
	for i := range w.products {
		w.past.Store(int64(float64(years) * (1 - float64(i)/float64(w.products))))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		p := wanted(productID(i)).GetProduct()
		if _, err := w.silent.CreateProduct(url.Values{
			"id": {p.GetId()}, "name": {p.GetName()}, "description": {p.GetDescription()},
			"metadata[sku]": {p.GetMetadata()["sku"]}, "metadata[colour]": {"red"},
		}); err != nil {
			return fmt.Errorf("fill Stripe: %w", err)
		}
		if _, err := w.silent.CreatePrice(url.Values{
			"product": {p.GetId()}, "currency": {"eur"}, "unit_amount": {"1400"}, "nickname": {"Standard"},
			"metadata[" + catalog.PriceMarker + "]": {priceID(i)}, "lookup_key": {priceID(i)},
		}, false); err != nil {
			return fmt.Errorf("fill Stripe: %w", err)
		}
	}
	return nil
}

// row is a product in the form of each part of the mesh.
type row struct {
	desired  *catalogv1.ProductChange
	observed *catalogv1.Observed
}

// fillMesh stores the state of both sides in CATALOG, OBSERVED and the ledger. It returns the rows of the last page.
func (w *world) fillMesh(ctx context.Context) (sample []row, err error) {
	js := w.mesh.JetStream()
	if err := allowBatches(ctx, js, "KV_"+topology.BucketObserved); err != nil {
		return nil, err
	}
	client := stripeapi.New(stripeapi.Config{Key: worldKey, Base: w.simURL})
	products, prices := stripeapi.Listing{Active: true}, stripeapi.Listing{Active: true, Prices: true}
	var rows []row
	for more := true; more; {
		p, err := client.List(ctx, products)
		if err != nil {
			return nil, err
		}
		q, err := client.List(ctx, prices)
		if err != nil {
			return nil, err
		}
		if len(p.Objects) != len(q.Objects) {
			return nil, errors.New("a product does not have exactly one price")
		}
		for i := range p.Objects {
			r, err := newRow(p.Objects[i], q.Objects[i])
			if err != nil {
				return nil, err
			}
			rows = append(rows, r)
		}
		more = p.More
		if n := len(p.Objects); n > 0 {
			products.After, prices.After = p.Objects[n-1].ID, q.Objects[n-1].ID
		}
		if len(rows) >= mesh.MaxBatch || !more {
			if err := w.store(ctx, rows); err != nil {
				return nil, err
			}
			sample, rows = rows, nil
		}
	}
	if _, err := w.ledger.Exec(ctx, "ANALYZE driftless_ledger.product"); err != nil {
		return nil, fmt.Errorf("fill the ledger: %w", err)
	}
	return sample, nil
}

// newRow returns a product on which both sides agree.
func newRow(product, price stripeapi.Listed) (row, error) {
	if err := errors.Join(product.Err, price.Err); err != nil {
		return row{}, err
	}
	if product.ID != price.ProductID {
		return row{}, fmt.Errorf("price %s is not of product %s", price.ID, product.ID)
	}
	r := row{
		wanted(product.ID),
		&catalogv1.Observed{Account: benchAccount, ProductId: product.ID, Version: worldVersion},
	}
	s, p := *product.Product, *price.Price
	s.Fetched, p.Fetched = true, true
	catalog.ObserveProduct(r.observed, s)
	catalog.ObservePrice(r.observed, p)
	catalog.ManageMetadata(r.observed, r.desired)
	if steps := catalog.Diff(r.desired, r.observed); len(steps) > 0 {
		return row{}, fmt.Errorf("product %s differs from the start: %v", product.ID, steps)
	}
	return r, nil
}

func allowBatches(ctx context.Context, js jetstream.JetStream, stream string) error {
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("bind stream %s: %w", stream, err)
	}
	cfg := s.CachedInfo().Config
	if cfg.AllowAtomicPublish {
		return nil
	}
	cfg.AllowAtomicPublish = true
	if _, err := js.UpdateStream(ctx, cfg); err != nil {
		return fmt.Errorf("allow batches on stream %s: %w", stream, err)
	}
	return nil
}

// store stores rows in both streams and in the ledger.
func (w *world) store(ctx context.Context, rows []row) error {
	catalogEnd, err := w.end(ctx, topology.StreamCatalog)
	if err != nil {
		return err
	}
	out := make([]mesh.Outgoing, len(rows))
	states := make([]*nats.Msg, len(rows))
	for i, r := range rows {
		id := r.desired.GetProductId()
		out[i] = mesh.Outgoing{
			Subject: topology.CatalogSubject(benchAccount, topology.Bulk, id),
			Version: worldVersion,
			Body:    r.desired,
		}
		data, err := proto.Marshal(r.observed)
		if err != nil {
			return fmt.Errorf("encode: %w", err)
		}
		states[i] = &nats.Msg{
			Subject: "$KV." + topology.BucketObserved + "." + benchAccount + "." + topology.Token(id),
			Data:    data,
			Header:  nats.Header{},
		}
	}
	if err := w.mesh.PublishBatch(ctx, out); err != nil {
		return err
	}
	ack, err := jetstreamext.PublishMsgBatch(ctx, w.mesh.JetStream(), states)
	if err != nil {
		return fmt.Errorf("fill OBSERVED: %w", err)
	}
	observedEnd := ack.Sequence - uint64(len(rows))
	version := pgtype.Numeric{Int: big.NewInt(worldVersion), Valid: true}
	stored := time.Now()
	_, err = w.ledger.CopyFrom(ctx, pgx.Identifier{"driftless_ledger", "product"}, []string{
		"account", "product_id", "desired", "desired_version", "desired_sequence", "desired_stored",
		"observed", "observed_revision", "observed_version", "observed_stored", "state",
	}, pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
		desired, err := proto.Marshal(rows[i].desired)
		return []any{
			benchAccount, rows[i].desired.GetProductId(), desired, version, int64(catalogEnd) + int64(i) + 1, stored,
			states[i].Data, int64(observedEnd) + int64(i) + 1, version, stored, "in_sync",
		}, err
	}))
	if err != nil {
		return fmt.Errorf("fill the ledger: %w", err)
	}
	return nil
}

func (w *world) end(ctx context.Context, stream string) (uint64, error) {
	s, err := w.mesh.JetStream().Stream(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("bind stream %s: %w", stream, err)
	}
	return s.CachedInfo().State.LastSeq, nil
}

// moveConsumersToEnd moves every consumer to the end of its stream.
func (w *world) moveConsumersToEnd(ctx context.Context) error {
	js := w.mesh.JetStream()
	for _, name := range []string{topology.StreamCatalog, "KV_" + topology.BucketObserved} {
		s, err := js.Stream(ctx, name)
		if err != nil {
			return fmt.Errorf("bind stream %s: %w", name, err)
		}
		var configs []jetstream.ConsumerConfig
		list := s.ListConsumers(ctx)
		for info := range list.Info() {
			configs = append(configs, info.Config)
		}
		if err := list.Err(); err != nil {
			return fmt.Errorf("list the consumers of %s: %w", name, err)
		}
		for _, cfg := range configs {
			if cfg.Durable == "" {
				continue
			}
			if err := js.DeleteConsumer(ctx, name, cfg.Durable); err != nil {
				return fmt.Errorf("move consumer %s: %w", cfg.Durable, err)
			}
			cfg.DeliverPolicy = jetstream.DeliverNewPolicy
			if _, err := js.CreateConsumer(ctx, name, cfg); err != nil {
				return fmt.Errorf("move consumer %s: %w", cfg.Durable, err)
			}
		}
	}
	return nil
}
