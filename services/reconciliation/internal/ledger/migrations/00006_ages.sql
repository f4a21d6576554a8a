-- +goose Up
-- The products that have differed, or drifted, longest are queried all the time, also while a million products differ.
CREATE INDEX product_unsynced ON driftless_ledger.product (account, differs_since) WHERE differs AND state <> 'dead';
CREATE INDEX product_drifted ON driftless_ledger.product (account, drifted_at) WHERE state = 'drifted';
