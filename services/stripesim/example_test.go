package stripesim_test

import (
	"fmt"
	"net/http/httptest"
	"net/url"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"

	"github.com/driftless-sync/driftless/services/stripesim"
)

// A shop tests its own code against the simulator: the first answer of Stripe is lost, and later somebody edits the
// product in Stripe's Dashboard.
func Example() {
	sim, err := stripesim.New(stripesim.Config{Limits: stripesim.Limits{Off: true}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = sim.Close() }()
	server := httptest.NewServer(sim.Handler())
	defer server.Close()

	backend := stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
		URL:             stripe.String(server.URL),
		HTTPClient:      server.Client(),
		EnableTelemetry: stripe.Bool(false),
		LeveledLogger:   &stripe.LeveledLogger{Level: stripe.LevelNull},
	})
	shop := client.New("sk_test_shop", &stripe.Backends{API: backend, Connect: backend, Uploads: backend})

	// stripe-go retries with the same idempotency key, so the product is created once.
	if _, err := sim.AddFault(stripesim.Fault{Kind: stripesim.FaultResponseLost, Count: 1}); err != nil {
		fmt.Println(err)
		return
	}
	mug, err := shop.Products.New(&stripe.ProductParams{ID: stripe.String("mug"), Name: stripe.String("Mug")})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s, products: %d\n", mug.Name, sim.Stats().Objects.Products)

	if err := sim.Dashboard().EditProduct("mug", url.Values{"name": {"Large mug"}}); err != nil {
		fmt.Println(err)
		return
	}
	if mug, err = shop.Products.Get("mug", nil); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(mug.Name)
	// Output:
	// Mug, products: 1
	// Large mug
}
