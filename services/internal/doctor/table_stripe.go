package doctor

// Ids of the checks of Stripe.
const (
	StripeReachable       = "stripe.reachable"
	StripeKey             = "stripe.key"
	StripeMode            = "stripe.mode"
	StripeVersion         = "stripe.version"
	StripeReadProducts    = "stripe.read_products"
	StripeReadPrices      = "stripe.read_prices"
	StripeReadEvents      = "stripe.read_events"
	StripeWriteProducts   = "stripe.write_products"
	StripeWritePrices     = "stripe.write_prices"
	StripeWebhook         = "stripe.webhook"
	StripeWebhookStatus   = "stripe.webhook_status"
	StripeWebhookEvents   = "stripe.webhook_events"
	StripeWebhookVersion  = "stripe.webhook_version"
	StripeWebhookURL      = "stripe.webhook_url"
	StripeWebhookSecret   = "stripe.webhook_secret" //nolint:gosec // the id of a check
	StripeWebhookDelivery = "stripe.webhook_delivery"
)

const noEvents = "Changes that others make in Stripe are seen only by the poll of events and by scans."

var stripeChecks = []Check{
	{
		StripeReachable, Error,
		"Stripe's API does not answer",
		"Nothing is written to Stripe, and nothing is read from it.",
		"Let the machine reach STRIPE_API_BASE; see status.stripe.com.",
	},
	{
		StripeKey, Error,
		"the key is not one of Stripe's, or Stripe refuses it",
		"Push halts: every change waits.",
		"Set STRIPE_API_KEY to a valid secret or restricted key.",
	},
	{
		StripeMode, Error,
		"the key is of another mode (live or test) than the mesh was set up in",
		"The objects of one mode do not exist in the other. Push and pull do not start.",
		"Set a key of the other mode, or give this mode an account name of its own.",
	},
	{
		StripeVersion, Error,
		"answers come in another API version than the one that is asked for",
		"Driftless would misread them. A proxy between Driftless and Stripe is the usual cause.",
		"Let the requests reach Stripe with their header Stripe-Version.",
	},
	{
		StripeReadProducts, Error,
		"the key may not read products",
		"Push cannot read a product before it writes, and pull cannot scan.",
		"Give the key the permission Products: read.",
	},
	{
		StripeReadPrices, Error,
		"the key may not read prices",
		"Push cannot read prices before it writes, and pull cannot scan.",
		"Give the key the permission Prices: read.",
	},
	{
		StripeReadEvents, Error,
		"the key may not read events",
		"An event whose webhook was missed is never seen.",
		"Give pull's key the permission Events: read.",
	},
	{
		StripeWriteProducts, Error,
		"the key may not write products",
		"Push halts: every change waits.",
		"Give push's key the permission Products: write. For a key of pull alone, add --skip stripe.write_products.",
	},
	{
		StripeWritePrices, Error,
		"the key may not write prices",
		"Push halts: every change of a price waits.",
		"Give push's key the permission Prices: write. For a key of pull alone, add --skip stripe.write_prices.",
	},
	{
		StripeWebhook, Error,
		"no webhook endpoint is for this mesh",
		noEvents,
		"driftless webhook create https://HOST/stripe/webhook --secret-file FILE",
	},
	{
		StripeWebhookStatus, Error,
		"the webhook endpoint is disabled",
		noEvents,
		"driftless webhook create URL: it enables an endpoint that exists.",
	},
	{
		StripeWebhookEvents, Error,
		"the webhook endpoint does not get all events that pull reads",
		"Changes of the missing kinds are seen only by the poll of events and by scans.",
		"driftless webhook create URL: it repairs an endpoint that exists.",
	},
	{
		StripeWebhookVersion, Error,
		"the webhook endpoint sends another API version than pull reads",
		"Pull may misread the events. The version of an endpoint cannot be changed.",
		"driftless webhook rotate ENDPOINT",
	},
	{
		StripeWebhookURL, Error,
		"Stripe cannot call the endpoint's address, or pull does not serve its path",
		noEvents,
		"driftless webhook create https://HOST/stripe/webhook --secret-file FILE, then delete the old endpoint.",
	},
	{
		StripeWebhookSecret, Error,
		"pull refuses an event that is signed with the configured secret",
		"Pull refuses Stripe's events, and Stripe disables the endpoint after some days.",
		"Set STRIPE_WEBHOOK_SECRET to the secret of the endpoint, and restart pull.",
	},
	{
		StripeWebhookDelivery, Warning,
		"Stripe could not deliver an event for more than ten minutes",
		noEvents,
		"See the endpoint's deliveries in Stripe's Dashboard. Let Stripe reach pull.",
	},
}
