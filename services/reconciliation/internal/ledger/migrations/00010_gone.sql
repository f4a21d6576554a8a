-- +goose Up
-- gone is true for products that are neither in the catalog nor active in Stripe. They left the catalog, or never were
-- products. They are counted separately, and stay for their history. An earlier program may have left a row with
-- outdated JSON. Such a row is marked once its JSON is filled in.
ALTER TABLE driftless_ledger.product ADD COLUMN gone boolean NOT NULL DEFAULT false;
UPDATE driftless_ledger.product SET gone = true
WHERE desired_json IS NULL AND (desired IS NULL OR desired_json_of = desired_sequence)
    AND coalesce(observed_json -> 'product' ->> 'active', 'false') <> 'true' AND (observed IS NULL OR observed_json_of = observed_revision);
