-- +goose Up
-- True if an open dead letter is about no version. Then no later version closes it.
ALTER TABLE driftless_ledger.product ADD COLUMN dead_unversioned boolean NOT NULL DEFAULT false;
UPDATE driftless_ledger.product SET dead_unversioned = true, dead_version = NULL WHERE dead_version = 0;
CREATE INDEX dead_letter_product ON driftless_ledger.dead_letter (account, product_id) WHERE closed_at IS NULL;
