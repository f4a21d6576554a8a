-- +goose Up
-- Both sides of every product, and whether they are equal.
CREATE TABLE driftless_ledger.product (
    account text NOT NULL,
    product_id text NOT NULL,
    -- driftless.catalog.v1.ProductChange, without its row images.
    desired bytea,
    desired_version numeric(20) NOT NULL DEFAULT 0,
    desired_sequence bigint NOT NULL DEFAULT 0,
    -- driftless.catalog.v1.Observed.
    observed bytea,
    observed_revision bigint NOT NULL DEFAULT 0,
    -- observed_version is the catalog version that push has applied completely. A push has claimed the product until
    -- claimed_until.
    observed_version numeric(20) NOT NULL DEFAULT 0,
    claimed_until timestamptz,
    state text NOT NULL DEFAULT 'in_sync' CHECK (state IN ('in_sync', 'pending', 'drifted', 'dead', 'orphan')),
    differs boolean NOT NULL DEFAULT false,
    differs_since timestamptz,
    drifted_at timestamptz,
    repairs integer NOT NULL DEFAULT 0,
    repair_at timestamptz,
    -- The version of the open dead letter, if there is one.
    dead_version numeric(20),
    PRIMARY KEY (account, product_id)
);

-- Few products differ at any time. These indexes find them.
CREATE INDEX product_differs ON driftless_ledger.product (account, product_id) WHERE differs;
CREATE INDEX product_state ON driftless_ledger.product (account, state) WHERE state <> 'in_sync';

-- The audit trail.
CREATE TABLE driftless_ledger.history (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Identifies the message that reported the entry. A message that is delivered again adds nothing.
    event_id text NOT NULL UNIQUE,
    account text NOT NULL,
    product_id text NOT NULL,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    version numeric(20) NOT NULL DEFAULT 0,
    detail text NOT NULL DEFAULT '',
    trace_id text NOT NULL DEFAULT ''
);

CREATE INDEX history_product ON driftless_ledger.history (account, product_id, at DESC);

CREATE TABLE driftless_ledger.dead_letter (
    id text PRIMARY KEY,
    account text NOT NULL,
    product_id text NOT NULL,
    service text NOT NULL,
    version numeric(20) NOT NULL,
    -- driftless.mesh.v1.DeadLetter.
    letter bytea NOT NULL,
    at timestamptz NOT NULL,
    closed_at timestamptz
);

CREATE INDEX dead_letter_open ON driftless_ledger.dead_letter (account, at DESC) WHERE closed_at IS NULL;
