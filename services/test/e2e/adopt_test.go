package e2e_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v76"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	ingestv1 "github.com/driftless-sync/driftless/proto/driftless/ingest/v1"
	"github.com/driftless-sync/driftless/services/internal/topology"
)

// walkthrough returns the commands of a document, in order.
func walkthrough(t *testing.T, path string) (commands [][]string) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	shell := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "```"):
			shell = line == "```sh"
		case shell:
			commands = append(commands, strings.Fields(line))
		}
	}
	return commands
}

// driftless runs a command against the rig. It returns the output and the exit code.
func (r *rig) driftless(dir string, args ...string) (output string, code int) {
	r.t.Helper()
	bin, err := programs()
	require.NoError(r.t, err)
	cmd := exec.CommandContext(r.t.Context(), filepath.Join(bin, "driftless"), args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DRIFTLESS_CONTROL_URL="+r.url(topology.Reconciliation),
		"DRIFTLESS_INGEST_URL="+r.url(topology.Ingestion))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(r.t, err)
	}
	r.t.Logf("$ driftless %s (%d)\n%s", strings.Join(args, " "), cmd.ProcessState.ExitCode(), out.String())
	return out.String(), cmd.ProcessState.ExitCode()
}

// createInStripe creates a product with a price, as somebody did before Driftless.
func (r *rig) createInStripe(name, sku, lookupKey string, amount int64) (product, price string) {
	r.t.Helper()
	params := &stripe.ProductParams{Name: stripe.String(name)}
	if sku != "" {
		params.AddMetadata("sku", sku)
	}
	p, err := r.stripe.Products.New(params)
	require.NoError(r.t, err)
	priceParams := &stripe.PriceParams{
		Product:    stripe.String(p.ID),
		Currency:   stripe.String("eur"),
		UnitAmount: stripe.Int64(amount),
	}
	if lookupKey != "" {
		priceParams.LookupKey = stripe.String(lookupKey)
	}
	pr, err := r.stripe.Prices.New(priceParams)
	require.NoError(r.t, err)
	return p.ID, pr.ID
}

func selling(id, name, amount string) *catalogv1.Product {
	return &catalogv1.Product{
		Id: id, Name: name, DefaultPrice: id + "-eur",
		Prices: []*catalogv1.Price{{Id: id + "-eur", Currency: "eur", UnitAmount: amount}},
	}
}

// The test runs the commands of docs/adoption.md on an account that already has products.
func TestAdopt_Walkthrough(t *testing.T) {
	t.Parallel()
	r := newRig(t, unlimited)
	r.stop(topology.Push)
	r.holdCreations = true
	r.start(topology.Push)
	bySKU, bySKUPrice := r.createInStripe("An old mug", "mug", "", 1400)
	byKey, byKeyPrice := r.createInStripe("Some cup", "", "cup-eur", 900)
	byName, byNamePrice := r.createInStripe("TEE", "", "", 2500)
	dearer, dearerPrice := r.createInStripe("Plate", "plate", "plate-eur", 700)
	stranger, _ := r.createInStripe("Not ours", "", "", 1)
	r.upsert(selling("mug", "Mug", "1400"), selling("cup", "Cup", "900"), selling("tee", "Tee", "2500"),
		selling("plate", "Plate", "800"), selling("new", "New", "100"))
	_, err := r.ingest.WaitCaptured(t.Context(), connect.NewRequest(&ingestv1.WaitCapturedRequest{}))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		status, err := r.control.GetStatus(t.Context(), connect.NewRequest(&controlv1.GetStatusRequest{}))
		return err == nil && status.Msg.GetRetrying() == 5 && status.Msg.GetCreationsHeld()
	}, patience, tick, "all five wait")

	// As before the scan of the first start, which writes its report until it has ended.
	require.Eventually(t, func() bool {
		scan, err := r.control.GetScan(t.Context(), connect.NewRequest(&controlv1.GetScanRequest{}))
		return err == nil && scan.Msg.GetScan().GetFinishedAt() != nil
	}, patience, tick)
	cursor, err := r.mesh.JetStream().KeyValue(t.Context(), topology.BucketCursor)
	require.NoError(t, err)
	require.NoError(t, cursor.Delete(t.Context(), topology.KeyScan.Name("default")))
	dir := t.TempDir()
	out, code := r.driftless(dir, "adopt", "plan")
	require.Equal(t, 1, code)
	require.Contains(t, out, "driftless scan", "the error names the first step")

	file := filepath.Join(dir, "adopt.yaml")
	ran := map[string]int{}
	for _, command := range walkthrough(t, "../../../docs/adoption.md") {
		require.Equal(t, "driftless", command[0])
		verb := strings.Join(command[1:min(3, len(command))], " ")
		if command[1] != "adopt" {
			verb = command[1]
		}
		ran[verb]++
		if verb == "sync" {
			r.stop(topology.Push)
			r.holdCreations = false
			r.start(topology.Push)
		}
		out, code := r.driftless(dir, command[1:]...)
		switch verb {
		case "scan", "sync", "adopt apply":
			require.Zero(t, code, out)
		case "adopt plan":
			require.Equal(t, 2, code, "two are doubtful: %s", out)
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, 2, strings.Count(string(text), "\napprove: true\n"), string(text))
			require.Contains(t, string(text), "name_only")
			require.Contains(t, string(text), "price_differs plate-eur")
			_, code = r.driftless(dir, command[1:]...)
			require.Equal(t, 1, code, "a file that may have been reviewed is not overwritten")
			require.NoError(t,
				os.WriteFile(file, bytes.ReplaceAll(text, []byte("approve: false"), []byte("approve: true")), 0o600))
		case "plan":
			if ran["plan"] == 1 {
				require.Equal(t, 2, code, "the new product is not created yet")
				require.Contains(t, out, "new")
			} else {
				require.Zero(t, code, out)
			}
		}
	}
	require.Equal(t, map[string]int{"scan": 1, "adopt plan": 1, "adopt apply": 1, "plan": 2, "sync": 1}, ran)
	r.waitConverged()

	for product, want := range map[string][2]string{
		"mug":   {bySKU, bySKUPrice},
		"cup":   {byKey, byKeyPrice},
		"tee":   {byName, byNamePrice},
		"plate": {dearer, ""},
	} {
		p, prices := r.stripeProduct(want[0])
		require.Equal(t, product, p.Metadata["driftless_product"])
		require.Len(t, prices, 1)
		if want[1] != "" {
			require.Equal(t, want[1], prices[product+"-eur"].ID)
		}
		require.Equal(t, p.DefaultPrice.ID, prices[product+"-eur"].ID)
	}
	old, err := r.stripe.Prices.Get(dearerPrice, nil)
	require.NoError(t, err)
	require.False(t, old.Active, "replaced, as approved")
	untouched, _ := r.stripe.Products.Get(stranger, nil)
	require.Empty(t, untouched.Metadata)
	n := 0
	for list := r.stripe.Products.List(&stripe.ProductListParams{}); list.Next(); {
		n++
	}
	require.Equal(t, 6, n, "five of the catalog and one foreign product, none twice")

	// An adopted product is repaired like any other.
	_, err = r.stripe.Products.Update(bySKU, &stripe.ProductParams{Name: stripe.String("By hand")})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		p, _ := r.stripeProduct(bySKU)
		return p.Name == "Mug"
	}, patience, tick)
	r.waitConverged()
	kinds := ""
	for _, e := range r.history("mug") {
		kinds += e.GetKind() + " "
	}
	require.Contains(t, kinds, "adopted")
	require.Contains(t, kinds, "stripe_event")

	// Applied entries stay applied. An entry that is no longer valid is named, and nothing is done about it.
	out, code = r.driftless(dir, "adopt", "apply", "adopt.yaml")
	require.Zero(t, code, out)
	require.Contains(t, out, "4 were adopted before")
	require.NoError(t,
		os.WriteFile(file,
			[]byte("account: default\n---\nproduct: mug\nstripe: "+stranger+"\nprices: {}\napprove: true\n"), 0o600))
	out, code = r.driftless(dir, "adopt", "apply", "adopt.yaml")
	require.Equal(t, 1, code)
	require.Contains(t, out, "line 3, product mug: product mug is already linked to "+bySKU+" in Stripe")
}
