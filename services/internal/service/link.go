package service

// The variables of the link that signs in to the console once. They are no settings: only `driftless up` knows both.
const (
	// LinkKeyVariable has the key of the link.
	LinkKeyVariable = "DRIFTLESS_LINK_KEY"
	// LinkTokenVariable has the token that the link signs in with.
	LinkTokenVariable = "DRIFTLESS_LINK_TOKEN" //nolint:gosec // the name of a variable
)
