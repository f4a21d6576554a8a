package stripesim

import (
	"net/http"
	"net/url"
	"strings"
)

// operation is one of Stripe's endpoints. Each has a rate limit of its own, for all objects together.
type operation struct {
	method string
	// path has the object's id as {name}, where name is Stripe's name of the parameter.
	path   string
	params map[string]shape
	// object is the kind of object that the operation returns or lists.
	object string
	// list reports whether the operation lists objects.
	list bool
	// permission is the permission that a restricted key needs, without _read or _write. The one of prices is named
	// after plans, which prices have replaced.
	permission string
	run        func(*tx, *call) (any, *refusal)
}

func (o *operation) name() string { return o.method + " " + o.path }

// idParam returns Stripe's name of the id in the operation's path: "id" or "price".
func (o *operation) idParam() string {
	_, rest, ok := strings.Cut(o.path, "{")
	if !ok {
		return ""
	}
	return strings.TrimSuffix(rest, "}")
}

// expandOnly has the parameters of an operation without parameters of its own.
var expandOnly = map[string]shape{"expand": expandParam}

var operations = []*operation{
	{
		method:     http.MethodPost,
		path:       "/v1/products",
		params:     createProductParams,
		object:     "product",
		permission: "rak_product",
		run:        (*tx).createProduct,
	},
	{
		method:     http.MethodGet,
		path:       "/v1/products",
		params:     listProductsParams,
		object:     "product",
		list:       true,
		permission: "rak_product",
		run:        (*tx).listProducts,
	},
	{
		method:     http.MethodPost,
		path:       "/v1/products/{id}",
		params:     updateProductParams,
		object:     "product",
		permission: "rak_product",
		run:        (*tx).updateProduct,
	},
	{
		method:     http.MethodGet,
		path:       "/v1/products/{id}",
		params:     expandOnly,
		object:     "product",
		permission: "rak_product",
		run:        (*tx).getProduct,
	},
	{
		method:     http.MethodDelete,
		path:       "/v1/products/{id}",
		object:     "product",
		permission: "rak_product",
		run:        (*tx).deleteProduct,
	},
	{
		method:     http.MethodPost,
		path:       "/v1/prices",
		params:     createPriceParams,
		object:     "price",
		permission: "rak_plan",
		run:        (*tx).createPrice,
	},
	{
		method:     http.MethodGet,
		path:       "/v1/prices",
		params:     listPricesParams,
		object:     "price",
		list:       true,
		permission: "rak_plan",
		run:        (*tx).listPrices,
	},
	{
		method:     http.MethodPost,
		path:       "/v1/prices/{price}",
		params:     updatePriceParams,
		object:     "price",
		permission: "rak_plan",
		run:        (*tx).updatePrice,
	},
	{
		method:     http.MethodGet,
		path:       "/v1/prices/{price}",
		params:     expandOnly,
		object:     "price",
		permission: "rak_plan",
		run:        (*tx).getPrice,
	},
	{
		method:     http.MethodGet,
		path:       "/v1/subscriptions",
		params:     listSubscriptionsParams,
		object:     "subscription",
		list:       true,
		permission: "rak_subscription",
		run:        (*tx).listSubscriptions,
	},
	{
		method:     http.MethodGet,
		path:       "/v1/payment_links",
		params:     listPaymentLinksParams,
		object:     "payment_link",
		list:       true,
		permission: "rak_payment_links",
		run:        (*tx).listPaymentLinks,
	},
	{
		method:     http.MethodGet,
		path:       "/v1/events",
		params:     listEventsParams,
		object:     "event",
		list:       true,
		permission: "rak_event",
		run:        (*tx).listEvents,
	},
	{
		method:     http.MethodGet,
		path:       "/v1/events/{id}",
		params:     expandOnly,
		object:     "event",
		permission: "rak_event",
		run:        (*tx).getEvent,
	},
	{
		method:     http.MethodPost,
		path:       "/v1/webhook_endpoints",
		params:     createEndpointParams,
		object:     "webhook_endpoint",
		permission: "rak_webhook",
		run:        (*tx).createEndpoint,
	},
	{
		method:     http.MethodGet,
		path:       "/v1/webhook_endpoints",
		params:     listParams(nil),
		object:     "webhook_endpoint",
		list:       true,
		permission: "rak_webhook",
		run:        (*tx).listEndpoints,
	},
	{
		method:     http.MethodPost,
		path:       "/v1/webhook_endpoints/{webhook_endpoint}",
		params:     updateEndpointParams,
		object:     "webhook_endpoint",
		permission: "rak_webhook",
		run:        (*tx).updateEndpoint,
	},
	{
		method:     http.MethodGet,
		path:       "/v1/webhook_endpoints/{webhook_endpoint}",
		params:     expandOnly,
		object:     "webhook_endpoint",
		permission: "rak_webhook",
		run:        (*tx).getEndpoint,
	},
	{
		method:     http.MethodDelete,
		path:       "/v1/webhook_endpoints/{webhook_endpoint}",
		object:     "webhook_endpoint",
		permission: "rak_webhook",
		run:        (*tx).deleteEndpoint,
	},
	{
		method:     http.MethodGet,
		path:       "/v1/account",
		params:     expandOnly,
		object:     "account",
		permission: "rak_account",
		run:        (*tx).getAccount,
	},
}

// routes has the operations by method and path, such as "GET /v1/prices/{}".
var routes = func() map[string]*operation {
	out := make(map[string]*operation, len(operations))
	for _, op := range operations {
		path, _, hasID := strings.Cut(op.path, "{")
		if hasID {
			path += "{}"
		}
		out[op.method+" "+path] = op
	}
	return out
}()

// route returns the operation of a request, or nil if there is none, and the id in its path.
func route(method, escapedPath string) (*operation, string) {
	path := strings.TrimSuffix(escapedPath, "/")
	if op := routes[method+" "+path]; op != nil && op.idParam() == "" {
		return op, ""
	}
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return nil, ""
	}
	id, err := url.PathUnescape(path[i+1:])
	if err != nil || id == "" {
		return nil, ""
	}
	return routes[method+" "+path[:i+1]+"{}"], id
}

func unknownURL(method, path string) *refusal {
	return &refusal{
		status:       http.StatusNotFound,
		kind:         typeInvalid,
		keepsKeyFree: true,
		message: "Unrecognized request URL (" + method + ": " + path +
			"). Please see https://stripe.com/docs or we can help at https://support.stripe.com/.",
	}
}
