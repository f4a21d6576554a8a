package stripesim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Admin calls a simulator's admin API from another process.
type Admin struct {
	// BaseURL is the simulator's address, such as http://127.0.0.1:12111.
	BaseURL string
	// HTTPClient sends the requests. Defaults to http.DefaultClient.
	HTTPClient *http.Client
	// Account and Live choose the account and mode for the Dashboard's calls, as in Dashboard.
	Account string
	Live    bool
	Silent  bool
}

// AddFault sets a fault and returns it with its id.
func (a Admin) AddFault(ctx context.Context, f Fault) (Fault, error) {
	var out Fault
	err := a.json(ctx, http.MethodPost, "/_sim/faults", f, &out)
	return out, err
}

// Faults returns the faults that are set, with how often each has struck.
func (a Admin) Faults(ctx context.Context) ([]Fault, error) {
	var out []Fault
	err := a.json(ctx, http.MethodGet, "/_sim/faults", nil, &out)
	return out, err
}

// RemoveFault clears one fault.
func (a Admin) RemoveFault(ctx context.Context, id string) error {
	return a.json(ctx, http.MethodDelete, "/_sim/faults/"+url.PathEscape(id), nil, nil)
}

// ClearFaults clears all faults.
func (a Admin) ClearFaults(ctx context.Context) error {
	return a.json(ctx, http.MethodDelete, "/_sim/faults", nil, nil)
}

// Requests returns the recorded write requests, oldest first. The simulator keeps a limited number.
func (a Admin) Requests(ctx context.Context, f RequestFilter) ([]Request, error) {
	q := url.Values{}
	for name, v := range map[string]string{"object": f.Object, "operation": f.Operation, "key_prefix": f.KeyPrefix} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	var out []Request
	err := a.json(ctx, http.MethodGet, "/_sim/requests?"+q.Encode(), nil, &out)
	return out, err
}

// ClearRequests deletes the recorded requests.
func (a Admin) ClearRequests(ctx context.Context) error {
	return a.json(ctx, http.MethodDelete, "/_sim/requests", nil, nil)
}

// Stats returns the counters.
func (a Admin) Stats(ctx context.Context) (Stats, error) {
	var out Stats
	err := a.json(ctx, http.MethodGet, "/_sim/stats", nil, &out)
	return out, err
}

// ResetStats sets the counters to zero.
func (a Admin) ResetStats(ctx context.Context) error {
	return a.json(ctx, http.MethodDelete, "/_sim/stats", nil, nil)
}

// Limits returns the rate limits in force.
func (a Admin) Limits(ctx context.Context) (Limits, error) {
	var out Limits
	err := a.json(ctx, http.MethodGet, "/_sim/limits", nil, &out)
	return out, err
}

// SetLimits changes the rate limits.
func (a Admin) SetLimits(ctx context.Context, l Limits) error {
	return a.json(ctx, http.MethodPut, "/_sim/limits", l, nil)
}

// Reset deletes everything except the simulator's configuration.
func (a Admin) Reset(ctx context.Context) error {
	return a.json(ctx, http.MethodPost, "/_sim/reset", nil, nil)
}

// CreateProduct creates a product in the Dashboard and returns its id.
func (a Admin) CreateProduct(ctx context.Context, params url.Values) (string, error) {
	return a.dashboard(ctx, http.MethodPost, "/products", nil, params)
}

// EditProduct changes a product in the Dashboard.
func (a Admin) EditProduct(ctx context.Context, id string, params url.Values) error {
	_, err := a.dashboard(ctx, http.MethodPost, "/products/"+url.PathEscape(id), nil, params)
	return err
}

// DeleteProduct deletes a product without prices in the Dashboard. withPrices deletes its prices first.
func (a Admin) DeleteProduct(ctx context.Context, id string, withPrices bool) error {
	_, err := a.dashboard(ctx, http.MethodDelete, "/products/"+url.PathEscape(id),
		url.Values{"with_prices": {strconv.FormatBool(withPrices)}}, nil)
	return err
}

// CreatePrice creates a price and returns its id. An inline price is created as a checkout does, so no list shows it.
func (a Admin) CreatePrice(ctx context.Context, params url.Values, inline bool) (string, error) {
	return a.dashboard(ctx, http.MethodPost, "/prices", url.Values{"inline": {strconv.FormatBool(inline)}}, params)
}

// EditPrice changes a price.
func (a Admin) EditPrice(ctx context.Context, id string, params url.Values) error {
	_, err := a.dashboard(ctx, http.MethodPost, "/prices/"+url.PathEscape(id), nil, params)
	return err
}

// DeletePrice deletes a price that is not the default of its product. Only the Dashboard can do that.
func (a Admin) DeletePrice(ctx context.Context, id string) error {
	_, err := a.dashboard(ctx, http.MethodDelete, "/prices/"+url.PathEscape(id), nil, nil)
	return err
}

// CreateSubscription makes a subscription, as Dashboard.CreateSubscription.
func (a Admin) CreateSubscription(ctx context.Context, params url.Values) (string, error) {
	return a.dashboard(ctx, http.MethodPost, "/subscriptions", nil, params)
}

// EditSubscription gives a subscription another status.
func (a Admin) EditSubscription(ctx context.Context, id string, params url.Values) error {
	_, err := a.dashboard(ctx, http.MethodPost, "/subscriptions/"+url.PathEscape(id), nil, params)
	return err
}

// CreatePaymentLink makes an active payment link, as Dashboard.CreatePaymentLink.
func (a Admin) CreatePaymentLink(ctx context.Context, params url.Values) (string, error) {
	return a.dashboard(ctx, http.MethodPost, "/payment_links", nil, params)
}

// EditPaymentLink deactivates or activates a payment link.
func (a Admin) EditPaymentLink(ctx context.Context, id string, params url.Values) error {
	_, err := a.dashboard(ctx, http.MethodPost, "/payment_links/"+url.PathEscape(id), nil, params)
	return err
}

func (a Admin) dashboard(ctx context.Context, method, path string, query, form url.Values) (string, error) {
	if query == nil {
		query = url.Values{}
	}
	if a.Account != "" {
		query.Set("account", a.Account)
	}
	if a.Live {
		query.Set("livemode", "true")
	}
	if a.Silent {
		query.Set("silent", "true")
	}
	var out idAnswer
	err := a.do(ctx, method, "/_sim/dashboard"+path+"?"+query.Encode(), "application/x-www-form-urlencoded",
		strings.NewReader(form.Encode()), &out)
	return out.ID, err
}

func (a Admin) json(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(raw)
	}
	return a.do(ctx, method, path, "application/json", body, out)
}

func (a Admin) do(ctx context.Context, method, path, contentType string, body io.Reader, out any) (err error) {
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(a.BaseURL, "/")+path, body)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", contentType)
	client := a.HTTPClient
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("call the Stripe simulator: %w", err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("read the Stripe simulator's answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		var e errorBody
		if json.Unmarshal(raw, &e) == nil && e.Error.Message != "" {
			return fmt.Errorf("Stripe simulator: %s", e.Error.Message)
		}
		return fmt.Errorf("the Stripe simulator answered %s %s with %s: is there one at %s?", method, path,
			response.Status, a.BaseURL)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(raw, out)
}
