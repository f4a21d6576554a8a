package signing_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/driftless-sync/driftless/services/internal/signing"
)

// BenchmarkSign and BenchmarkVerify use bodies of a small, a usual and a very large product.
func BenchmarkSign(b *testing.B) {
	each(b, func(b *testing.B, key signing.PrivateKey, m signing.Message) {
		b.Helper()
		for b.Loop() {
			key.Sign("ingestion", m, time.UnixMilli(1), 1)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	each(b, func(b *testing.B, key signing.PrivateKey, m signing.Message) {
		b.Helper()
		trusted := signing.Trusted{"ingestion": {key.Public()}}
		signature := key.Sign("ingestion", m, time.UnixMilli(1), 1)
		for b.Loop() {
			if _, err := trusted.Verify(signature, m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func each(b *testing.B, run func(*testing.B, signing.PrivateKey, signing.Message)) {
	b.Helper()
	key := create(b)
	for _, size := range []int{300, 2 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%d bytes", size), func(b *testing.B) {
			run(b, key, signing.Message{
				Subject: "catalog.default.live.mug-stoneware-350",
				Version: "28311552",
				Body:    make([]byte, size),
			})
		})
	}
}
