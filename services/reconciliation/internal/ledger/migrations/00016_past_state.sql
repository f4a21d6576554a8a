-- +goose Up
-- Since when each side of a product has had its present state. The time 1970-01-01 ('epoch') means that this was not
-- recorded yet.
ALTER TABLE driftless_ledger.product
    ADD COLUMN desired_since timestamptz NOT NULL DEFAULT 'epoch',
    -- The first version with this content; 0 if that was not recorded. Later versions may have the same content.
    ADD COLUMN desired_first_version numeric(20) NOT NULL DEFAULT 0,
    ADD COLUMN observed_since timestamptz NOT NULL DEFAULT 'epoch';

-- The states that one side of a product had before the present one. A state that was replaced is added, so a product
-- that never changes has no row. A time without a row, before the next state, means that the side had no such product.
CREATE TABLE driftless_ledger.past_state (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL,
    side text NOT NULL CHECK (side IN ('catalog', 'stripe')),
    product_id text NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    first_version numeric(20) NOT NULL,
    last_version numeric(20) NOT NULL,
    -- driftless.catalog.v1.ProductChange or Observed, as far as they describe the product.
    state bytea NOT NULL
);
CREATE INDEX past_state_product ON driftless_ledger.past_state (account, side, product_id, until);
CREATE INDEX past_state_until ON driftless_ledger.past_state (account, until);

-- The time from which on past states are complete. An account without a row has none yet.
CREATE TABLE driftless_ledger.past_state_horizon (
    account text PRIMARY KEY,
    known_from timestamptz NOT NULL
);
