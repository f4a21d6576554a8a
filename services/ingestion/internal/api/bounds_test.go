package api_test

import (
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
)

// allocated returns the number of bytes that work allocates.
func allocated(work func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	work()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// repeated returns a product with n equal prices.
func repeated(price string, n int) string {
	return `{"products":[{"id":"p","name":"P","prices":[` + strings.TrimSuffix(strings.Repeat(price+",", n), ",") +
		`]}]}`
}

func TestUpsertProducts_StopsAfterEnoughViolations(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct{ body, want string }{
		"a million of objects": {repeated("{}", 1_000_000), "a request may hold at most 100000 objects"},
		"very many prices":     {repeated("{}", 50_001), "must have at most 50000 prices in a call, not 50001"},
		"many prices":          {repeated("{}", 20_000), "and at least 90 more"},
		"prices of one id": {
			repeated(`{"id":"a","currency":"eur","unit_amount":"1"}`, 20_000),
			"is used by another price of the product",
		},
		"a text for each price": {
			repeated(`{"id":"\u0000","nickname":"\u0000","lookup_key":"\u0000"}`, 20_000),
			"and at least 90 more",
		},
		"images": {`{"products":[{"id":"p","name":"P","images":[` + strings.Repeat(`"",`, 500_000) +
			`""]}]}`, "must have at most 8 items, not 500001"},
		"tiers": {
			repeated(`{"id":"a","tiers":[`+strings.Repeat(`{},`, 50_000)+`{}]}`, 1),
			"must have at most 5000 tiers and currency options together, not 50001",
		},
		"products without a value": {`{"products":[` + strings.Repeat(`{},`, 999) + `{}]}`, "and at least 90 more"},
	} {
		var status int
		var answer string
		bytes := allocated(func() { status, answer = r.post("UpsertProducts", c.body) })
		require.Equal(t, http.StatusBadRequest, status, "%s: %.300s", name, answer)
		require.Contains(t, answer, c.want, "%s: %.300s", name, answer)
		require.Less(t, len(answer), 256<<10, name)
		// The client's and the server's copies of the body are in it.
		require.Less(t, bytes, uint64(200<<20), name)
		t.Logf("%s: %d kB sent, %d kB allocated", name, len(c.body)>>10, bytes>>10)
	}
}

// 3 MB of digits took minutes once.
func TestUpsertProducts_RefusesLongNumbersFast(t *testing.T) {
	r := newRig(t)
	digits := strings.Repeat("9", 3_000_000)
	for _, price := range []string{
		`{"id":"a","currency":"eur","tiers_mode":"volume","tiers":[{"up_to":"` + digits +
			`","unit_amount":"1"},{"unit_amount":"2"}]}`,
		`{"id":"a","currency":"eur","custom_unit_amount":{"minimum":"` + digits + `","maximum":"` + digits +
			`","preset":"` + digits + `"}}`,
		`{"id":"a","currency":"eur","unit_amount_decimal":"0.` + digits + `"}`,
	} {
		bytes := allocated(func() {
			status, answer := r.post("UpsertProducts", repeated(price, 1))
			require.Equal(t, http.StatusBadRequest, status)
			require.Less(t, len(answer), 16<<10)
		})
		require.Less(t, bytes, uint64(200<<20))
	}
}

func TestUpsertProducts_AbridgesValues(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	long := strings.Repeat("x", 1<<20)
	for _, p := range []*catalogv1.Product{
		{Id: long, Name: "P"},
		{Id: "p", Name: "P", DefaultPrice: long},
		{Id: "p", Name: "P", Metadata: map[string]string{long: long}},
		{Id: "p", Name: "P", TaxCode: long, Images: []string{long}},
		{Id: "p", Name: "P", Prices: []*catalogv1.Price{{Id: long, Currency: long, UnitAmount: long, LookupKey: long}}},
		{Id: "p", Name: "P", Prices: []*catalogv1.Price{{
			Id: "a", Currency: "eur", UnitAmount: "1",
			CurrencyOptions: map[string]*catalogv1.CurrencyOption{long: {UnitAmount: "1"}},
			Metadata:        map[string]string{long + "\x00": "\x00"},
			Recurring:       &catalogv1.Recurring{Interval: long, UsageType: "metered", Meter: long},
		}}},
	} {
		_, err := r.upsert(p, p)
		faults := violations(t, err)
		require.NotEmpty(t, faults)
		for _, fault := range faults {
			require.Less(t, len(fault), 2000, "%.300s", fault)
		}
		require.Less(t, len(err.Error()), 20_000)
	}
	err := r.archive(long, long+"x")
	require.Less(t, len(err.Error()), 2000)
	require.ErrorContains(t, err, "nothing was written")
}

func TestUpsertProducts_NamesLimits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := product("p", price("a"))
	p.TaxCode, p.Images, p.DefaultPrice = strings.Repeat("t", 5001),
		[]string{"https://example.com/" + strings.Repeat("x", 2048)}, strings.Repeat("d", 201)
	p.Prices[0].Recurring = &catalogv1.Recurring{
		Interval:  "month",
		UsageType: "metered",
		Meter:     strings.Repeat("m", 5001),
	}
	_, err := r.upsert(p)
	got := strings.Join(violations(t, err), "\n")
	for _, want := range []string{
		"images[0] (p): must have at most 2048 characters, not 2068",
		"tax_code (p): must have at most 5000 characters, not 5001",
		"default_price (p): must have at most 200 characters, not 201",
		"prices[0].recurring.meter (p): must have at most 5000 characters, not 5001",
	} {
		require.Contains(t, got, want)
	}
}

// Concurrent calls share a bounded memory. Calls beyond it are refused with "try again", and none fails in another way.
func TestUpsertProducts_BoundsMemoryOfConcurrentCalls(t *testing.T) {
	r := newRig(t)
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse)
	}
	before := heap()
	// A valid call of 6 MB that changes nothing but the first time.
	description := strings.Repeat("d", 30_000)
	var products []string
	for i := range 200 {
		products = append(products, fmt.Sprintf(`{"id":"p%d","name":"P","description":%q}`, i, description))
	}
	body := `{"products":[` + strings.Join(products, ",") + `]}`
	var mu sync.Mutex
	var peak int64
	statuses := map[int]int{}
	var wg sync.WaitGroup
	for range 24 {
		wg.Go(func() {
			status := 0
			resp, err := r.send("UpsertProducts", body)
			if assert.NoError(t, err, "a refused client sends its body to the end") {
				status = resp.StatusCode
				assert.NoError(t, resp.Body.Close())
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			mu.Lock()
			defer mu.Unlock()
			statuses[status]++
			peak = max(peak, int64(m.HeapInuse)-before)
		})
	}
	wg.Wait()
	require.NotZero(t, statuses[http.StatusOK])
	require.Equal(t, 24, statuses[http.StatusOK]+statuses[http.StatusServiceUnavailable], "%v", statuses)
	t.Logf("24 calls of %d kB: %v, %d kB in use at most when one ended", len(body)>>10, statuses, peak>>10)
	require.Less(t, peak, int64(500<<20))
}
