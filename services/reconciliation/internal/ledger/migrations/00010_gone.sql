-- +goose Up
-- Products that are neither in the catalog nor active in Stripe: they left the catalog, or never were products. They are counted
-- apart, and stay for the history. Rows whose JSON an older program has left behind are marked when that is filled in.
ALTER TABLE driftless_ledger.product ADD COLUMN gone boolean NOT NULL DEFAULT false;
UPDATE driftless_ledger.product SET gone = true
WHERE desired_json IS NULL AND (desired IS NULL OR desired_json_of = desired_sequence)
    AND coalesce(observed_json -> 'product' ->> 'active', 'false') <> 'true' AND (observed IS NULL OR observed_json_of = observed_revision);
