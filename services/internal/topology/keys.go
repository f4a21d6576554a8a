package topology

import "strings"

// Key is the name of a record in a bucket. Every account has its own.
type Key struct{ bucket, pattern string }

// accountPlaceholder is replaced by the name of the account.
const accountPlaceholder = "{account}"

// Keys of records. Every key that a service uses is declared here, so that access.go can permit it: without a
// permission the request times out.
var (
	// KeyOrigin has the system identifier of the Postgres server that is captured.
	KeyOrigin = Key{BucketCursor, "origin.{account}"}
	// KeyMapping has the mapping that CATALOG was last compared with.
	KeyMapping = Key{BucketCursor, "mapping.{account}"}
	// KeySnapshot has the position of a snapshot or comparison.
	KeySnapshot = Key{BucketCursor, "snapshot.{account}"}
	// KeyCapture has a CaptureReport: how far the catalog is captured.
	KeyCapture = Key{BucketCursor, "capture.{account}"}
	// KeyHistory has a CatalogHistory: the log that versions rest on.
	KeyHistory = Key{BucketCursor, "history.{account}"}

	// KeyHalted has Stripe's reason for a halt; "" for none.
	KeyHalted = Key{BucketCursor, "halted.{account}"}
	// KeyGuard has the Guard: the record of the mass-change guard.
	KeyGuard = Key{BucketCursor, "guard.{account}"}
	// KeyCreationsHeld has the reason why push creates nothing; "" for none.
	KeyCreationsHeld = Key{BucketCursor, "creations-held.{account}"}
	// KeyStripeMode has the mode of the account's Stripe key, test or live.
	KeyStripeMode = Key{BucketCursor, "stripe-mode.{account}"}

	// KeyEvents has the position in /v1/events.
	KeyEvents = Key{BucketCursor, "events.{account}"}
	// KeyPoll has the PollReport of the latest poll of /v1/events.
	KeyPoll = Key{BucketCursor, "poll.{account}"}
	// KeyScan has the ScanReport of the latest scan.
	KeyScan = Key{BucketCursor, "scan.{account}"}
	// KeyScanState has the position of the scan that runs.
	KeyScanState = Key{BucketCursor, "scan-state.{account}"}

	// KeyUsage has a Usage: what uses prices in Stripe.
	KeyUsage = Key{BucketCursor, "usage.{account}"}

	// KeyPaused has the Pause of a service; see Key.Sub.
	KeyPaused = Key{BucketCursor, "paused.{account}"}

	// KeyBudget has the Budget that the processes of an account share.
	KeyBudget = Key{BucketBudget, "{account}"}
	// KeyBudgetBell is written when live calls are starving.
	KeyBudgetBell = KeyBudget.Sub("bell")

	// KeyObserved has the Observed of a product; see Key.Sub.
	KeyObserved = Key{BucketObserved, "{account}"}
	// KeyLink has the catalog's id of a Stripe product; see Key.Sub.
	KeyLink = Key{BucketLink, "{account}"}

	// KeyProcess has the Process of a service and an instance; see Key.Sub.
	KeyProcess = Key{BucketProcess, "{account}"}
)

// Bucket returns the bucket of the key.
func (k Key) Bucket() string { return k.bucket }

// Name returns the key's name in its bucket for an account.
func (k Key) Name(account string) string {
	return strings.ReplaceAll(k.pattern, accountPlaceholder, account)
}

// Subject returns the subject of the key's messages for an account.
func (k Key) Subject(account string) string { return "$KV." + k.bucket + "." + k.Name(account) }

// Sub returns the key of one part of a record, such as one service's pause or one product. The token "*" is a pattern
// for all parts.
func (k Key) Sub(token string) Key { return Key{k.bucket, k.pattern + "." + token} }
