package config

// Console are the settings of the console.
type Console struct {
	ConsoleAddr       string `name:"console-addr" env:"DRIFTLESS_CONSOLE_ADDR" default:"127.0.0.1:8084" help:"Address on which the console serves its pages, health and metrics."`
	ConsoleURL        string `name:"console-url" env:"DRIFTLESS_CONSOLE_URL" placeholder:"URL" help:"Address under which visitors reach the console, such as https://ops.example.com/driftless. Its path is that of all pages. With https, sign-ins are sent over TLS only. Needed for OpenID Connect."`
	ConsoleSessionKey Secret `name:"console-session-key" env:"DRIFTLESS_CONSOLE_SESSION_KEY" secret:"" help:"Key that sign-ins are encrypted with, of at least 32 characters: openssl rand -hex 32. All replicas of the console need the same. If empty, the process makes one, and sign-ins end with it."`
	ConsoleJaegerURL  string `name:"console-jaeger-url" env:"DRIFTLESS_CONSOLE_JAEGER_URL" placeholder:"URL" help:"Address of Jaeger for visitors' browsers. Traces link to it."`
	ConsoleStripeURL  string `name:"console-stripe-url" env:"DRIFTLESS_CONSOLE_STRIPE_URL" default:"https://dashboard.stripe.com" placeholder:"URL" help:"Address of Stripe's dashboard for visitors' browsers. Products and prices link to it. For a test account: https://dashboard.stripe.com/test."`
}

// ConsoleOpenID are the settings of signing in to the console with OpenID Connect.
type ConsoleOpenID struct {
	OpenIDIssuer       string   `name:"openid-issuer" env:"DRIFTLESS_OPENID_ISSUER" placeholder:"URL" help:"Address of the OpenID provider with which visitors of the console sign in. If empty, they sign in with a token."`
	OpenIDClientID     string   `name:"openid-client-id" env:"DRIFTLESS_OPENID_CLIENT_ID" help:"Id of the console at the OpenID provider. The address for its answers is console_url with /sign-in/openid/done."`
	OpenIDClientSecret Secret   `name:"openid-client-secret" env:"DRIFTLESS_OPENID_CLIENT_SECRET" secret:"" help:"Secret of the console at the OpenID provider. Empty for a public client."`
	OpenIDScopes       []string `name:"openid-scopes" env:"DRIFTLESS_OPENID_SCOPES" default:"email,profile" help:"Scopes to ask for beside openid, separated by commas."`
	OpenIDNameClaim    string   `name:"openid-name-claim" env:"DRIFTLESS_OPENID_NAME_CLAIM" default:"email" help:"Claim with the visitor's name for the audit trail. Choose one that only the provider can set."`
	OpenIDRoleClaim    string   `name:"openid-role-claim" env:"DRIFTLESS_OPENID_ROLE_CLAIM" default:"groups" help:"Claim that decides the visitor's role: a text or a list."`
	OpenIDRoles        []string `name:"openid-roles" env:"DRIFTLESS_OPENID_ROLES" placeholder:"VALUE=ROLE,..." help:"Role for each value of the claim, separated by commas: pricing=approve,sre=operate. The highest counts. Other visitors have the role of * if it is there, or are refused."`
	ConsoleToken       Secret   `name:"console-token" env:"DRIFTLESS_CONSOLE_TOKEN" secret:"" help:"The console's own token, with which it acts for visitors of the OpenID provider: driftless token new console --role approve --delegate. No visitor gets more than its role."`
}

// ConsoleAPIs says where the console finds the APIs.
type ConsoleAPIs struct {
	ControlURL string `name:"control-url" env:"DRIFTLESS_CONTROL_URL" default:"http://127.0.0.1:8082" placeholder:"URL" help:"Address of the control API."`
	IngestURL  string `name:"ingest-url" env:"DRIFTLESS_INGEST_URL" default:"http://127.0.0.1:8080" placeholder:"URL" help:"Address of the ingestion API."`
}

// ConsoleService are all settings of the console program.
type ConsoleService struct {
	File
	Log
	Hosts
	Console
	ConsoleOpenID
	ConsoleAPIs
}
