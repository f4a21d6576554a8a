package stripeapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/stripe/stripe-go/v76/form"

	"github.com/driftless-sync/driftless/services/internal/catalog"
)

// Listing selects a part of what Stripe lists: the products, or the prices, of an account.
type Listing struct {
	// Prices lists prices, with their tiers and currency options, instead of products.
	Prices bool
	// Active lists active objects instead of archived ones. Stripe's unfiltered list of prices may leave archived ones
	// out.
	Active bool
	// From and Before bound the second of creation; 0 means no bound. Stripe lists the latest object first.
	From, Before int64
	// After is the id of the last object of the previous page. It is empty for the first page.
	After string
}

// Page is one page of a list.
type Page struct {
	Objects []Listed
	// More reports whether another page follows.
	More bool
	// Seen is the second of Stripe's clock at which the page was read.
	Seen int64
}

// Listed is an object of a page.
type Listed struct {
	ID      string
	Created int64
	// ProductID is Stripe's id of the product: the object's own, or that of a price's product.
	ProductID string
	// Product or Price is the object as Stripe shows it. The other is nil.
	Product *catalog.ProductSighting
	Price   *catalog.PriceSighting
	// Err is why the object could not be read. Then only ID, Created and ProductID may be set.
	Err error
}

// List reads a page. An error concerns the page. A problem with one object is in its Err.
func (c *Client) List(ctx context.Context, l Listing) (Page, error) {
	endpoint, what := "GET /v1/products", "products"
	body := &form.Values{}
	body.Add("active", strconv.FormatBool(l.Active))
	body.Add("limit", strconv.Itoa(pageSize))
	if l.Prices {
		endpoint, what = "GET /v1/prices", "prices"
		body.Add("expand[0]", "data.tiers")
		body.Add("expand[1]", "data.currency_options")
	}
	if l.From > 0 {
		body.Add("created[gte]", strconv.FormatInt(l.From, 10))
	}
	if l.Before > 0 {
		body.Add("created[lt]", strconv.FormatInt(l.Before, 10))
	}
	if l.After != "" {
		body.Add("starting_after", l.After)
	}
	a, err := c.read(ctx, endpoint, "", body)
	if err != nil {
		return Page{}, fmt.Errorf("list %s: %w", what, err)
	}
	page, err := decodeObjects(a.body(), l.Prices, a.seen())
	if err != nil {
		return Page{}, err
	}
	if page.More && page.Objects[len(page.Objects)-1].ID == "" {
		return Page{},
			fmt.Errorf("list %s: the last object of the page has no id, so that the next page cannot be asked for",
				what)
	}
	return page, nil
}

// decodeObjects reads the objects of a list at once, or one by one if one of them cannot be decoded.
func decodeObjects(data []byte, prices bool, seen int64) (Page, error) {
	page := Page{Seen: seen}
	var err error
	if prices {
		var whole struct {
			Data    []priceJSON `json:"data"`
			HasMore bool        `json:"has_more"`
		}
		err = json.Unmarshal(data, &whole)
		page.Objects, page.More = make([]Listed, len(whole.Data)), whole.HasMore && len(whole.Data) > 0
		for i := range whole.Data {
			page.Objects[i] = whole.Data[i].listed(seen)
		}
	} else {
		var whole struct {
			Data    []productJSON `json:"data"`
			HasMore bool          `json:"has_more"`
		}
		err = json.Unmarshal(data, &whole)
		page.Objects, page.More = make([]Listed, len(whole.Data)), whole.HasMore && len(whole.Data) > 0
		for i := range whole.Data {
			page.Objects[i] = whole.Data[i].listed(seen)
		}
	}
	if err == nil {
		return page, nil
	}
	var raw struct {
		Data    []json.RawMessage `json:"data"`
		HasMore bool              `json:"has_more"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return Page{}, fmt.Errorf("decode Stripe's list: %w", err)
	}
	page.Objects, page.More = make([]Listed, len(raw.Data)), raw.HasMore && len(raw.Data) > 0
	for i, object := range raw.Data {
		page.Objects[i] = listed(object, prices, seen)
	}
	return page, nil
}

func (j *productJSON) listed(seen int64) Listed {
	s := j.sighting(seen)
	return Listed{ID: j.ID, Created: j.Created, ProductID: j.ID, Product: &s}
}

func (j *priceJSON) listed(seen int64) Listed {
	s := j.sighting(seen)
	return Listed{ID: j.ID, Created: j.Created, ProductID: string(j.Product), Price: &s}
}

func listed(data json.RawMessage, prices bool, seen int64) Listed {
	var out Listed
	if prices {
		var j priceJSON
		if out.Err = json.Unmarshal(data, &j); out.Err == nil {
			return j.listed(seen)
		}
	} else {
		var j productJSON
		if out.Err = json.Unmarshal(data, &j); out.Err == nil {
			return j.listed(seen)
		}
	}
	// Enough to identify the object and to continue after it.
	var bare struct {
		ID      string    `json:"id"`
		Created int64     `json:"created"`
		Product reference `json:"product"`
	}
	_ = json.Unmarshal(data, &bare)
	out.ID, out.Created, out.ProductID = bare.ID, bare.Created, string(bare.Product)
	if !prices {
		out.ProductID = bare.ID
	}
	return out
}

// IsCursorLost reports whether Stripe does not know the object at which a list was to continue.
func IsCursorLost(err error) bool {
	if err == nil {
		return false
	}
	f := Classify(err)
	return f.Status == http.StatusBadRequest && (f.Param == "ending_before" || f.Param == "starting_after")
}
