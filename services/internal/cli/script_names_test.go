package cli

import (
	"fmt"
	"regexp"
	"strings"
)

// names gives each id and address of a script a name: price_1 is the first price that was printed, and stays price_1.
// So a golden file also says which ids are the same.
type names map[string]string

// named are the texts that get a name, each with the part that they have in common. Each text is random or depends on
// the run. Everything else is compared as it is.
var named = []struct {
	kind string
	text *regexp.Regexp
}{
	{"price_%d", regexp.MustCompile(`\bprice_[0-9A-Za-z]{14,}\b`)},
	{"prod_%d", regexp.MustCompile(`\bprod_[0-9A-Za-z]{14,}\b`)},
	{"evt_%d", regexp.MustCompile(`\bevt_[0-9A-Za-z]{14,}\b`)},
	{"we_%d", regexp.MustCompile(`\bwe_[0-9A-Za-z]{14,}\b`)},
	{"req_%d", regexp.MustCompile(`\breq_[0-9A-Za-z]{14,}\b`)},
	{"id-%d", regexp.MustCompile(`\b[0-9A-Za-z]{22}\b`)},
	{"trace-%d", regexp.MustCompile(`\b[0-9a-f]{32}\b`)},
	{"http://address-%d", regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`)},
}

// times are the texts that depend on the time of the run, with what stands for them.
// The order counts: a rule sees what the ones before it have written.
var times = []struct {
	text *regexp.Regexp
	with string
}{
	// protojson chooses the spaces after a name by the build (https://protobuf.dev/reference/go/faq/#unstable-json).
	{regexp.MustCompile(`(?m)^( *"\w+":) +`), "$1 "},
	// So it does with the space in its errors.
	{regexp.MustCompile(`proto:[ \x{A0}]`), "proto: "},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIMESTAMP"},
	// A clock time of another day has its date. Scripts run shortly before midnight, too.
	{regexp.MustCompile(`\bchange pass until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b`), "change pass until CLOCK"},
	{regexp.MustCompile(`\buntil \d{4}-\d\d-\d\d \d\d:\d\d:\d\d( UTC every rule)\b`), "until CLOCK$1"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?\b`), "DATETIME"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d\b`), "CLOCK"},
	// A time of tomorrow has a date.
	{regexp.MustCompile(`\bchange pass until DATETIME\b`), "change pass until CLOCK"},
	{regexp.MustCompile(`compared at \d\d:\d\d\b`), "compared at CLOCK"},
	{regexp.MustCompile(`\b(\d+h)?(\d+m)?\d+s ago\b`), "AGO"},
	{regexp.MustCompile(`\blast report \d+ s ago\b`), "last report AGO"},
	{regexp.MustCompile(`"created": \d+`), `"created": N`},
	{regexp.MustCompile(`"(took|waited)": "[0-9.]+s"`), `"$1": "DURATION"`},
	{regexp.MustCompile(`\bENDPOINT +URL`), "ENDPOINT  URL"},
	{regexp.MustCompile(`\bURL +STATUS`), "URL  STATUS"},
	{regexp.MustCompile(`(http://address-\d+\S*) {2,}`), "$1  "},
	{regexp.MustCompile(`\bLAST +MESSAGE`), "LAST  MESSAGE"},
	{regexp.MustCompile(`\bAGO {2,}`), "AGO  "},
	{regexp.MustCompile(`\b\d+ s ago\b`), "AGO"},
	// Rates and the time left depend on the machine. So do the process, its host and the name of the slot.
	{regexp.MustCompile(`(?m)^(FLOW|SERVICE) .*$`), "$1 ..."},
	{
		regexp.MustCompile(
			`(?m)^(capture|live changes|bulk changes|commands|retries|Stripe's events|ledger) +([0-9-]+) +\S+ +\S+ +.*$`),
		"$1  $2",
	},
	{regexp.MustCompile(`(?m)^(ingestion|push|pull|reconciliation) +(\d+) +(devel|-) +(\S.*)$`), "$1  $2  $3  $4"},
	{regexp.MustCompile(`; [0-9.]+ calls/s`), ""},
	{regexp.MustCompile(`slot script_\d+`), "slot script_N"},
	{regexp.MustCompile(`(AGO) on [\w.-]+`), "$1 on HOST"},
	{regexp.MustCompile(`, last webhook \S+ ago`), ", last webhook AGO"},
	{regexp.MustCompile(`the oldest for \S+;`), "the oldest for SPAN;"},
	{regexp.MustCompile(`\bversion( +)\d+\b`), "version${1}N"},
	{regexp.MustCompile(`\bmessage \d+ of\b`), "message N of"},
	{regexp.MustCompile(`\b((list calls?|reads?), in) [0-9.]+m?s\b`), "$1 DURATION"},
	{regexp.MustCompile(`"((?:\w+_)?version|sequence)": +\d+`), `"$1": N`},
	// A script that waits for an output repeats the command, and each sync sends commands.
	{regexp.MustCompile(`\b\d+( messages (?:wait for it|in flight|are in flight))`), "N$1"},
	// Calls of the budget are written down in batches.
	{regexp.MustCompile(`(in the last 30 days: )\d+( \([^)]*\))?`), "${1}N"},
	{regexp.MustCompile(`"(reads|used)": \d+`), `"$1": N`},
	{regexp.MustCompile(`(?m)^calls to Stripe: .*$`), "calls to Stripe: N"},
	{regexp.MustCompile(`(?s)"stripe_rate": \{.*?\}`), `"stripe_rate": {}`},
	{regexp.MustCompile(`(?s)"reads_for": \[.*?\]`), `"reads_for": []`},
	// The number of events in the latest poll, and whether the tables were compared since the start.
	{regexp.MustCompile(`"(events|catalog_(?:\w+_)?(?:sequence|messages))": \d+`), `"$1": N`},
	{regexp.MustCompile(`(?s)\n      "compared": \{.*?\n      \}`), "\n      \"compared\": {}"},
}

// changing are the parts of JSON that are about processes and rates. Their ids get no names.
var changing = regexp.MustCompile(`(?s)"(services|flow)": +\[.*?\n  \]`)

// payload is the base64 text of a message. A part of it between two of its marks can look like an id.
var payload = regexp.MustCompile(`"payload": +"[^"]+"`)

// golden returns a text with names for ids and addresses, and with words for times. work is the script's directory.
func (n names) golden(text, work string) string {
	text = strings.ReplaceAll(text, work, "$WORK")
	text = changing.ReplaceAllString(text, `"$1": []`)
	text = payload.ReplaceAllString(text, `"payload": "PAYLOAD"`)
	for _, kind := range named {
		text = kind.text.ReplaceAllStringFunc(text, func(id string) string { return n.name(kind.kind, id) })
	}
	for _, t := range times {
		text = t.text.ReplaceAllString(text, t.with)
	}
	return text
}

func (n names) name(kind, id string) string {
	if n[id] == "" {
		used := 1
		for _, other := range n {
			if strings.HasPrefix(other, strings.TrimSuffix(kind, "%d")) {
				used++
			}
		}
		n[id] = fmt.Sprintf(kind, used)
	}
	return n[id]
}
