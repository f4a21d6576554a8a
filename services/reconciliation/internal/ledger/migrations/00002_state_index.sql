-- +goose Up
-- Counting products by state reads this index alone, and never a million products' rows.
DROP INDEX driftless_ledger.product_state;
CREATE INDEX product_state ON driftless_ledger.product (account, state);
