package mesh_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
	"github.com/driftless-sync/driftless/services/internal/mesh"
	"github.com/driftless-sync/driftless/services/internal/mesh/meshtest"
	"github.com/driftless-sync/driftless/services/internal/signing"
	"github.com/driftless-sync/driftless/services/internal/state"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// BenchmarkSignatures compares the same work with and without signatures, on a server that acknowledges after a write
// to disk: go test ./internal/mesh -run XXX -bench Signatures. The product has a usual size, 2 kB.
func BenchmarkSignatures(b *testing.B) {
	for _, signed := range []bool{false, true} {
		b.Run(fmt.Sprintf("signed=%t", signed), func(b *testing.B) {
			m := benchMesh(b, signed)
			stateAt := func(v uint64) *catalogv1.ProductChange {
				c := meshtest.Change("mug", v)
				c.Product = &catalogv1.Product{Id: "mug", Description: strings.Repeat("x", 2<<10)}
				return c
			}
			subject := topology.CatalogSubject("default", topology.Live, "mug")
			version := uint64(0)
			b.Run("publish one", func(b *testing.B) {
				defer processorTime(b)()
				for b.Loop() {
					version++
					require.NoError(b, m.Publish(b.Context(), subject, stateAt(version), mesh.WithVersion(version)))
				}
			})
			b.Run("publish a batch of 1000", func(b *testing.B) {
				defer processorTime(b)()
				for b.Loop() {
					out := make([]mesh.Outgoing, mesh.MaxBatch)
					for i := range out {
						version++
						out[i] = mesh.Outgoing{
							Subject: topology.CatalogSubject("default", topology.Bulk, fmt.Sprint("p", i)),
							Body:    stateAt(version),
							Version: version,
						}
					}
					require.NoError(b, m.PublishBatch(b.Context(), out))
				}
			})
			for range topology.MaxStatesPerProduct {
				version++
				require.NoError(b, m.Publish(b.Context(), subject, stateAt(version), mesh.WithVersion(version)))
			}
			b.Run("read the latest of 16", func(b *testing.B) {
				defer processorTime(b)()
				for b.Loop() {
					_, err := state.New(m).Desired().Latest(b.Context(), "default", "mug")
					require.NoError(b, err)
				}
			})
			for _, states := range []int{1, topology.MaxStatesPerProduct} {
				ids := make([]string, mesh.MaxBatch)
				for i := range ids {
					ids[i] = fmt.Sprintf("q%d-%d", states, i)
				}
				for range states {
					out := make([]mesh.Outgoing, len(ids))
					version++
					for i, id := range ids {
						out[i] = mesh.Outgoing{
							Subject: topology.CatalogSubject("default", topology.Bulk, id),
							Body:    stateAt(version),
							Version: version,
						}
					}
					require.NoError(b, m.PublishBatch(b.Context(), out))
				}
				b.Run(fmt.Sprintf("read the latest of %d of 1000 products", states), func(b *testing.B) {
					defer processorTime(b)()
					for b.Loop() {
						_, err := state.New(m).Desired().LatestMany(b.Context(), "default", ids)
						require.NoError(b, err)
					}
				})
			}
		})
	}
}

func benchMesh(b *testing.B, signed bool) *mesh.Mesh {
	b.Helper()
	url, _ := localtest.NATS(b, localtest.SyncAlways)
	cfg := mesh.Config{URL: url, Name: topology.Ingestion, Logger: slog.New(slog.DiscardHandler)}
	if signed {
		key, err := signing.Create()
		require.NoError(b, err)
		cfg.Signing = mesh.Signing{Key: key.Reveal(), Trusted: "ingestion=" + key.Public().String()}
	}
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	m, err := mesh.Connect(ctx, cfg)
	require.NoError(b, err)
	b.Cleanup(m.Close)
	require.NoError(b, topology.Apply(ctx, m.JetStream(), topology.Options{}))
	return m
}

// processorTime reports the processor time per operation, including the server's: the machine may be busy with other
// work.
func processorTime(b *testing.B) (report func()) {
	b.Helper()
	used := func() time.Duration {
		var u syscall.Rusage
		require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric(float64((used()-before).Microseconds())/float64(b.N), "cpu-µs/op") }
}
