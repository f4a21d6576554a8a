package schemas

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
)

// Stripe reads products through Stripe's API.
type Stripe struct {
	// URL and Key are those of the API.
	URL, Key string
}

// apiVersion is a version that has the field marketing_features.
const apiVersion = "2025-03-31.basil"

// Catalog reads all products and their active prices. A price is named by its mark, the catalog's id.
func (s Stripe) Catalog(ctx context.Context) (Catalog, error) {
	out := Catalog{}
	var prices []map[string]any
	// Without a filter, Stripe's lists may leave archived objects out.
	for _, active := range []string{"true", "false"} {
		products, err := s.list(ctx, "/v1/products", url.Values{"active": {active}})
		if err != nil {
			return nil, err
		}
		for _, p := range products {
			fields := Fields{}
			flatten(fields, "", p, "id", "object", "created", "updated", "livemode", "type")
			out[fmt.Sprint(p["id"])] = fields
		}
		page, err := s.list(ctx, "/v1/prices", url.Values{
			"active":   {active},
			"expand[]": {"data.tiers", "data.currency_options"},
		})
		if err != nil {
			return nil, err
		}
		prices = append(prices, page...)
	}
	marks := map[string]string{}
	for _, p := range prices {
		metadata, _ := p["metadata"].(map[string]any)
		mark, _ := metadata["driftless_price"].(string)
		marks[fmt.Sprint(p["id"])] = mark
		if p["active"] != true {
			continue
		}
		if err := out.addPrice(p, mark); err != nil {
			return nil, err
		}
	}
	for _, fields := range out {
		if id, ok := fields["default_price"]; ok {
			fields["default_price"] = marks[id]
		}
	}
	return out, nil
}

// addPrice adds the fields of an active price to its product.
func (c Catalog) addPrice(p map[string]any, mark string) error {
	product, prefix := c[fmt.Sprint(p["product"])], "prices."+mark+"."
	switch {
	case mark == "":
		return fmt.Errorf("price %s of product %s has no mark of Driftless", p["id"], p["product"])
	case product == nil:
		return fmt.Errorf("price %s is of product %s, which is not listed", p["id"], p["product"])
	case product[prefix+"active"] != "":
		return fmt.Errorf("product %s has two active prices for %s in Stripe", p["product"], mark)
	}
	flatten(product, prefix, p, "id", "object", "created", "livemode", "product")
	return nil
}

// list reads all pages of a list.
func (s Stripe) list(ctx context.Context, path string, query url.Values) ([]map[string]any, error) {
	var all []map[string]any
	query.Set("limit", "100")
	for {
		var page struct {
			Data    []map[string]any `json:"data"`
			HasMore bool             `json:"has_more"`
		}
		if err := s.get(ctx, path+"?"+query.Encode(), &page); err != nil {
			return nil, err
		}
		all = append(all, page.Data...)
		if !page.HasMore {
			return all, nil
		}
		query.Set("starting_after", fmt.Sprint(page.Data[len(page.Data)-1]["id"]))
	}
}

func (s Stripe) get(ctx context.Context, path string, to any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
	if err != nil {
		return fmt.Errorf("call Stripe: %w", err)
	}
	req.SetBasicAuth(s.Key, "")
	req.Header.Set("Stripe-Version", apiVersion)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("call Stripe: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("read %s from Stripe: %s: %s", path, resp.Status, body)
	}
	d := json.NewDecoder(resp.Body)
	d.UseNumber()
	if err := d.Decode(to); err != nil {
		return fmt.Errorf("read %s from Stripe: %w", path, err)
	}
	return nil
}

// flatten stores every value that is not null under its path. prefix is the path of value itself. The named fields of
// the outermost object are left out.
func flatten(to Fields, prefix string, value any, without ...string) {
	switch v := value.(type) {
	case nil:
	case map[string]any:
		if prefix != "" && prefix[len(prefix)-1] != '.' {
			prefix += "."
		}
		for key, inner := range v {
			if !slices.Contains(without, key) {
				flatten(to, prefix+key, inner)
			}
		}
	case []any:
		for i, inner := range v {
			flatten(to, fmt.Sprintf("%s.%d", prefix, i), inner)
		}
	default:
		to.set(prefix, fmt.Sprint(v))
	}
}
