package cli

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/ingestion"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/config"
	"github.com/driftless-sync/driftless/services/internal/forecast"
	"github.com/driftless-sync/driftless/services/internal/guard"
	"github.com/driftless-sync/driftless/services/stripesim"
)

// recorder keeps the products of a preview.
type recorder struct{ products []forecast.Product }

func (*recorder) begin(*previewSummary) error { return nil }
func (*recorder) end(*previewSummary) error   { return nil }

func (r *recorder) product(p forecast.Product) error {
	r.products = append(r.products, p)
	return nil
}

// shopEditor makes random statements on the built-in tables.
type shopEditor struct{ *rand.Rand }

func (e *shopEditor) product() string { return fmt.Sprintf("p%d", e.IntN(40)) }

func (e *shopEditor) price() string {
	return e.product() + []string{"-eur", "-usd"}[e.IntN(2)]
}

// statement returns a random statement. Some concern no row, and some make a product that Stripe would refuse.
func (e *shopEditor) statement() string {
	product, price := e.product(), e.price()
	switch e.IntN(16) {
	case 0, 1, 2:
		return fmt.Sprintf("UPDATE driftless.prices SET unit_amount = %d WHERE id = '%s'", 100*e.IntN(50), price)
	case 3:
		return fmt.Sprintf("UPDATE driftless.prices SET unit_amount = unit_amount + 1 WHERE id LIKE '%s%%'",
			product[:2])
	case 4:
		return fmt.Sprintf("UPDATE driftless.products SET name = 'Name %d' WHERE id = '%s'", e.IntN(9), product)
	case 5:
		return fmt.Sprintf("UPDATE driftless.products SET description = NULLIF('%s', 'none') WHERE id = '%s'",
			[]string{"none", "good", "better"}[e.IntN(3)], product)
	case 6:
		return fmt.Sprintf("UPDATE driftless.products SET active = NOT active WHERE id = '%s'", product)
	case 7:
		return fmt.Sprintf("UPDATE driftless.prices SET active = NOT active WHERE id = '%s'", price)
	case 8:
		return fmt.Sprintf("DELETE FROM driftless.prices WHERE id = '%s'", price)
	case 9:
		return fmt.Sprintf("DELETE FROM driftless.products WHERE id = '%s'", product)
	case 10, 11:
		return fmt.Sprintf(
			"INSERT INTO driftless.products (id, name) VALUES ('%s', 'Again') ON CONFLICT (id) DO NOTHING", product)
	case 12, 13:
		return fmt.Sprintf(`INSERT INTO driftless.prices (id, product, currency, unit_amount)
			SELECT '%s', id, '%s', %d FROM driftless.products WHERE id = '%s' ON CONFLICT (id) DO NOTHING`,
			price, price[len(price)-3:], 100+e.IntN(900), strings.Split(price, "-")[0])
	case 14:
		return fmt.Sprintf(`UPDATE driftless.products p SET default_price =
			(SELECT min(id) FROM driftless.prices WHERE product = p.id AND active) WHERE id = '%s'`, product)
	default:
		return fmt.Sprintf(`UPDATE driftless.prices SET nickname = 'N%d', metadata = '{"k": "%d"}' WHERE id = '%s'`,
			e.IntN(3), e.IntN(3), price)
	}
}

// previewOf previews statements against a running mesh, with its guard.
func previewOf(t *testing.T, m *testMesh, c *cli, statements []string) []forecast.Product {
	t.Helper()
	client, err := address{}.control(c)
	require.NoError(t, err)
	status, err := client.GetStatus(t.Context(), connect.NewRequest(&controlv1.GetStatusRequest{CountedIds: true}))
	require.NoError(t, err)
	p := &preview{control: client, status: status.Msg}
	p.present.settings.DatabaseURL = config.Secret(m.database)
	p.present.settings.Guard = guardSettings(m.guard)
	p.changed = p.present
	parsed, err := ingestion.ParseScript("edits", strings.Join(statements, ";\n"))
	require.NoError(t, err)
	require.NoError(t, p.read(t.Context(), c, previewFlags{}, parsed))
	defer p.result.Close()
	r := &recorder{}
	p.out = r
	if err := p.show(t.Context()); err != nil && !errors.Is(err, errHeld) {
		require.ErrorIs(t, err, errDiffers)
	}
	return r.products
}

// guardSettings returns the settings that describe rules of the guard.
func guardSettings(g guard.Config) config.Guard {
	return config.Guard{
		GuardAmountChange:   g.AmountChange,
		GuardZeroAmount:     g.ZeroAmount,
		GuardNoActivePrice:  g.NoActivePrice,
		GuardNoDefaultPrice: g.NoDefaultPrice,
		GuardPriceShare:     g.Prices.Share,
		GuardPriceLeast:     g.Prices.Least,
		GuardCurrencyShare:  g.Currencies.Share,
		GuardCurrencyLeast:  g.Currencies.Least,
		GuardShare:          g.Products.Share,
		GuardLeast:          g.Products.Least,
		GuardApprovers:      g.Approvers,
	}
}

var (
	stripeID = regexp.MustCompile(`\((price_\w+)\)$`)
	priceRef = regexp.MustCompile(`^\(Stripe's id of price (.*)\)$`)
)

// stepOf returns the step that was shown. Its idempotency key covers everything in the call.
func stepOf(product string, s *controlv1.PlannedStep) catalog.Step {
	step := catalog.Step{Kind: catalog.StepKind(s.GetKind()), ProductID: product}
	words := strings.Fields(stripeID.ReplaceAllString(s.GetStep(), ""))
	switch step.Kind {
	case catalog.CreateProduct:
		if len(words) > 3 {
			step.PriceID = words[len(words)-1]
		}
	case catalog.CreatePrice, catalog.UpdatePrice:
		step.PriceID = words[len(words)-1]
	case catalog.UpdateProduct:
	}
	if id := stripeID.FindStringSubmatch(s.GetStep()); id != nil {
		step.StripePriceID = id[1]
	}
	for _, p := range s.GetParameters() {
		param := catalog.Param{Name: p.GetName(), Value: p.GetValue()}
		if ref := priceRef.FindStringSubmatch(p.GetValue()); ref != nil {
			param.Value, param.PriceRef = "", ref[1]
		}
		step.Params = append(step.Params, param)
	}
	return step
}

// observedProducts returns what Stripe holds of every product.
func observedProducts(t *testing.T, c *cli) map[string]*catalogv1.Observed {
	t.Helper()
	client, err := address{}.control(c)
	require.NoError(t, err)
	resp, err := client.ListProducts(t.Context(), connect.NewRequest(&controlv1.ListProductsRequest{}))
	require.NoError(t, err)
	require.Empty(t, resp.Msg.GetNext())
	out := map[string]*catalogv1.Observed{}
	for _, d := range resp.Msg.GetProducts() {
		out[d.GetProductId()] = d.GetObserved()
	}
	return out
}

// commit runs statements in one transaction.
func commit(t *testing.T, database string, statements []string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	for _, s := range statements {
		_, err := tx.Exec(t.Context(), s)
		require.NoError(t, err, s)
	}
	require.NoError(t, tx.Commit(t.Context()))
}

// awaitQuiet waits until everything that was committed is in Stripe, held by the guard, or refused.
func awaitQuiet(t *testing.T, c *cli) {
	t.Helper()
	client, err := address{}.control(c)
	require.NoError(t, err)
	committed := time.Now()
	why := ""
	require.Eventually(t, func() bool {
		plan, err := fetchPlan(t.Context(), client, nil)
		if err != nil {
			return false
		}
		why = describeRemaining(plan)
		return plan.GetInFlight() == 0 && plan.GetEquality().GetUnknown() == "" &&
			plan.GetEquality().GetAsOf().AsTime().After(committed) &&
			!slices.ContainsFunc(plan.GetProducts(), func(p *controlv1.ProductPlan) bool {
				return p.GetState() != controlv1.ProductState_PRODUCT_STATE_DEAD && !p.GetHeld()
			})
	}, time.Minute, 50*time.Millisecond, &why)
}

// reality is a mesh with a shop, which is edited at random.
type reality struct {
	*testing.T

	mesh   *testMesh
	cli    *cli
	editor *shopEditor
}

func newReality(t *testing.T, options ...string) *reality {
	t.Helper()
	r := &reality{T: t, mesh: newTestMesh(t, options), cli: &cli{Local: config.Local{DataDir: t.TempDir()}}}
	require.NoError(t, r.mesh.endpoints().save(r.cli.DataDir))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r.editor = &shopEditor{Rand: rand.New(rand.NewPCG(seed, 1))}
	var first []string
	for i := range 40 {
		first = append(first,
			fmt.Sprintf("INSERT INTO driftless.products (id, name) VALUES ('p%d', 'Product %d')", i, i),
			fmt.Sprintf(`INSERT INTO driftless.prices (id, product, currency, unit_amount)
				VALUES ('p%d-eur', 'p%d', 'eur', 1000), ('p%d-usd', 'p%d', 'usd', 1200)`, i, i, i, i))
	}
	commit(t, r.mesh.database, first)
	awaitQuiet(t, r.cli)
	return r
}

// batch is some edits, what their preview showed and what push then did.
type batch struct {
	statements []string
	shown      []forecast.Product
	// keys are the idempotency keys of the calls that were shown, by product, and calls describes them by key.
	keys  map[string][]string
	calls map[string]string
	// made are the keys of the calls that push made.
	made []string
}

// edit previews random statements, commits them, and waits until push has done what it does.
func (r *reality) edit(n int) batch {
	b := batch{statements: make([]string, n), keys: map[string][]string{}, calls: map[string]string{}}
	for i := range b.statements {
		b.statements[i] = r.editor.statement()
	}
	before := observedProducts(r.T, r.cli)
	b.shown = previewOf(r.T, r.mesh, r.cli, b.statements)
	for _, p := range b.shown {
		steps := make([]catalog.Step, len(p.GetSteps()))
		for i, s := range p.GetSteps() {
			steps[i] = stepOf(p.GetProductId(), s)
		}
		keys := catalog.IdempotencyKeys(steps, "default", before[p.GetProductId()].GetGeneration())
		b.keys[p.GetProductId()] = keys
		for i, s := range p.GetSteps() {
			b.calls[keys[i]] = fmt.Sprintf("%s: %s %v", p.GetProductId(), s.GetStep(), s.GetParameters())
		}
	}
	require.NoError(r, r.mesh.sim.ClearRequests(r.Context()))
	commit(r.T, r.mesh.database, b.statements)
	awaitQuiet(r.T, r.cli)
	made, err := r.mesh.sim.Requests(r.Context(), stripesim.RequestFilter{KeyPrefix: catalog.KeyPrefix})
	require.NoError(r, err)
	for _, m := range made {
		require.Equal(r, http.StatusOK, m.Status, "%+v", m)
		if b.made = append(b.made, m.IdempotencyKey); b.calls[m.IdempotencyKey] == "" {
			r.Errorf("push made a call that was not shown: %s %s", m.Method, m.Path)
		}
	}
	return b
}

// requireMade requires that push made all of the calls that were shown for a product, or none of them.
func (r *reality) requireMade(b batch, product string, all bool) {
	for _, key := range b.keys[product] {
		switch made := slices.Contains(b.made, key); {
		case all && !made:
			r.Errorf("a call was shown that push did not make: %s", b.calls[key])
		case !all && made:
			r.Errorf("push made a call of a held product: %s", b.calls[key])
		}
	}
}

// TestPreview_EqualsReality previews 1,000 random edits in batches, commits each batch, and compares the calls that the
// preview showed with those that push made.
func TestPreview_EqualsReality(t *testing.T) {
	t.Parallel()
	r := newReality(t)
	calls := 0
	for n := range 10 {
		b := r.edit(100)
		for _, p := range b.shown {
			r.requireMade(b, p.GetProductId(), true)
		}
		if t.Failed() {
			t.Fatalf("batch %d:\n%s", n, strings.Join(b.statements, "\n"))
		}
		calls += len(b.made)
	}
	require.Greater(t, calls, 300)
}
