package doctor

// Ids of the checks of the settings, the clocks and the services.
const (
	ConfigSettings      = "config.settings"
	ConfigToken         = "config.token"
	ConfigWebhookSecret = "config.webhook_secret" //nolint:gosec // the id of a check

	ClocksHost     = "clocks.host"
	ClocksDatabase = "clocks.database"
	ClocksNATS     = "clocks.nats"
	ClocksStripe   = "clocks.stripe"

	ServicesRunning   = "services.running"
	ServicesReachable = "services.reachable"
	ServicesReady     = "services.ready"
	ServicesVersion   = "services.version"
	ServicesLost      = "services.lost"
	ServicesToken     = "services.token"
)

var configChecks = []Check{
	{
		ConfigSettings, Error,
		"a setting, the policy or the mapping is not valid",
		"The services do not start with it. Nothing else can be checked.",
		"Correct what the finding names; see docs/configuration.md.",
	},
	{
		ConfigToken, Warning,
		"an API listens beyond this machine and asks for no token",
		"Everybody who can reach the API can change products, approve changes and pause the mesh.",
		"Set DRIFTLESS_TOKEN for ingestion, reconciliation and the command line, or DRIFTLESS_TOKENS for ingestion and reconciliation.",
	},
	{
		ConfigWebhookSecret, Error,
		"the webhook secret is missing, is none of Stripe's, or is published",
		"Without the secret pull refuses every event. With a published one anybody can sign events.",
		"Set STRIPE_WEBHOOK_SECRET to the secret of your endpoint (driftless webhook create).",
	},
}

const clockEffect = "Times in histories and answers are wrong by the difference."

var clockChecks = []Check{
	{
		ClocksHost, Warning,
		"the clock of this machine differs from all others by more than 5 seconds",
		clockEffect + " Pull refuses Stripe's signatures if its clock is wrong by five minutes.",
		"Synchronize the clock of this machine (NTP).",
	},
	{
		ClocksDatabase, Warning,
		"the clock of the database server differs by more than 5 seconds",
		clockEffect + " The time of every answer about equality rests on it.",
		"Synchronize the clock of the database server (NTP).",
	},
	{
		ClocksNATS, Warning,
		"the clock of the NATS server differs by more than 5 seconds",
		"Claims, retries and pauses follow this clock.",
		"Synchronize the clock of the NATS server (NTP).",
	},
	{
		ClocksStripe, Warning,
		"Stripe's clock differs by more than 5 seconds",
		"Stripe's clock is right. So the others are wrong.",
		"Synchronize the clocks of all machines (NTP).",
	},
}

var serviceChecks = []Check{
	{
		ServicesRunning, Error,
		"no process of a service asks for messages",
		"What the service does is not done. Its messages wait.",
		"Start the service, or see in its log what it waits for. A pause has the same effect: driftless status shows it.",
	},
	{
		ServicesReachable, Error,
		"a service does not answer at its address",
		"It does not run, or its address is wrong.",
		"Start the service, or correct the address.",
	},
	{
		ServicesReady, Error,
		"a service says that it is not ready",
		"It does not do its work, for the reason that the finding has.",
		"Do what the reason says.",
	},
	{
		ServicesVersion, Warning,
		"the processes that run, or driftless itself, have different versions",
		"Two versions work together only during an upgrade.",
		"Finish the upgrade: bring every process to one version.",
	},
	{
		ServicesLost, Warning,
		"a process ended within the last hour without saying so, or hangs",
		"It was killed, has crashed, or has lost NATS. Others do its work, or nobody.",
		"See its log and its host. End it if it hangs. Start it again if none runs in its place.",
	},
	{
		ServicesToken, Error,
		"an API refuses the token",
		"The command line and programs get no answers.",
		"Set DRIFTLESS_TOKEN to the token of the services.",
	},
}
