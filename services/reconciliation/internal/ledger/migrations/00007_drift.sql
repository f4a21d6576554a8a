-- +goose Up
-- Differences that are drift, one row each. A row is open until settled_at.
CREATE TABLE driftless_ledger.drift (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL,
    product_id text NOT NULL,
    kind text NOT NULL,
    -- In Stripe's names; empty for the product as a whole.
    field text NOT NULL,
    catalog_value text NOT NULL,
    stripe_value text NOT NULL,
    -- repair, write-back or report, as the policy says.
    action text NOT NULL,
    since timestamptz NOT NULL,
    caused_by text NOT NULL DEFAULT 'unknown' CHECK (caused_by IN ('dashboard', 'api_key', 'unknown')),
    event_id text NOT NULL DEFAULT '',
    -- Stripe events that were new when the difference was found; one of them may be the cause.
    events text[] NOT NULL DEFAULT '{}',
    state text NOT NULL CHECK (state IN ('found', 'repairing', 'repaired', 'written_back', 'waiting', 'ignored')),
    -- The side that a person has decided for: catalog or stripe. Empty without a decision.
    decided text NOT NULL DEFAULT '',
    detail text NOT NULL DEFAULT '',
    attempts integer NOT NULL DEFAULT 0,
    -- True if the row counts towards the number of rounds after which a person has to decide.
    counts boolean NOT NULL DEFAULT true,
    settled_at timestamptz
);
CREATE UNIQUE INDEX drift_open ON driftless_ledger.drift (account, product_id, field) WHERE settled_at IS NULL;
CREATE INDEX drift_settled ON driftless_ledger.drift (account, product_id, field, settled_at) WHERE settled_at IS NOT NULL;

-- open_drift is the number of open rows of drift. unsettled is true while the sides differ, even if that is only
-- reported.
ALTER TABLE driftless_ledger.product
    ADD COLUMN open_drift integer NOT NULL DEFAULT 0,
    ADD COLUMN unsettled boolean NOT NULL DEFAULT false;
UPDATE driftless_ledger.product SET unsettled = true WHERE differs;
CREATE INDEX product_unsettled ON driftless_ledger.product (account, product_id) WHERE unsettled;

-- The fields of driftless.control.v1.HistoryEntry that have no column.
ALTER TABLE driftless_ledger.history ADD COLUMN data jsonb;
CREATE INDEX history_at ON driftless_ledger.history (at);
