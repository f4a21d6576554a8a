-- +goose Up
-- Replaced prices that stay active for a while: how many a product has, and when the first of them is to be archived.
ALTER TABLE driftless_ledger.product ADD COLUMN kept_prices int NOT NULL DEFAULT 0, ADD COLUMN kept_until timestamptz;
CREATE INDEX product_kept ON driftless_ledger.product (account, kept_until) WHERE kept_until IS NOT NULL;
