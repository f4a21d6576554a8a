package config

// Console are the settings of the console.
type Console struct {
	ConsoleAddr       string `name:"console-addr" env:"DRIFTLESS_CONSOLE_ADDR" default:"127.0.0.1:8084" help:"Address on which the console serves its pages, health and metrics."`
	ConsoleURL        string `name:"console-url" env:"DRIFTLESS_CONSOLE_URL" placeholder:"URL" help:"Address under which visitors reach the console, such as https://ops.example.com/driftless. Its path is that of all pages. With https, sign-ins are sent over TLS only. Needed for OpenID Connect."`
	ConsoleSessionKey Secret `name:"console-session-key" env:"DRIFTLESS_CONSOLE_SESSION_KEY" secret:"" help:"Key that sign-ins are encrypted with, of at least 32 characters: openssl rand -hex 32. All replicas of the console need the same. If empty, the process makes one, and sign-ins end with it."`
	ConsoleJaegerURL  string `name:"console-jaeger-url" env:"DRIFTLESS_CONSOLE_JAEGER_URL" placeholder:"URL" help:"Address of Jaeger for visitors' browsers. Traces link to it."`
	ConsoleStripeURL  string `name:"console-stripe-url" env:"DRIFTLESS_CONSOLE_STRIPE_URL" default:"https://dashboard.stripe.com" placeholder:"URL" help:"Address of Stripe's dashboard for visitors' browsers. Products and prices link to it. For a test account: https://dashboard.stripe.com/test."`
}

// ConsoleAPIs says where the console finds the APIs.
type ConsoleAPIs struct {
	ControlURL        string `name:"control-url" env:"DRIFTLESS_CONTROL_URL" default:"http://127.0.0.1:8082" placeholder:"URL" help:"Address of the control API."`
	IngestURL         string `name:"ingest-url" env:"DRIFTLESS_INGEST_URL" default:"http://127.0.0.1:8080" placeholder:"URL" help:"Address of the ingestion API."`
}

// ConsoleService are all settings of the console program.
type ConsoleService struct {
	File
	Log
	Hosts
	Console
	ConsoleAPIs
}
