-- +goose Up
-- The ids that lead to a product: its prices, their lookup keys, and Stripe's ids. Earlier ids stay, so that an id from
-- an old invoice still leads to its product.
CREATE TABLE driftless_ledger.identifier (
    account text NOT NULL,
    id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('price', 'lookup_key', 'stripe_product', 'stripe_price')),
    product_id text NOT NULL,
    PRIMARY KEY (account, id, kind, product_id)
);

INSERT INTO driftless_ledger.identifier (account, id, kind, product_id)
SELECT DISTINCT account, x.id, x.kind, product_id FROM driftless_ledger.product p,
    LATERAL (
        SELECT e ->> 'id', 'price' FROM jsonb_array_elements(coalesce(p.desired_json -> 'product' -> 'prices', '[]')) e
        UNION ALL SELECT e ->> 'lookup_key', 'lookup_key'
        FROM jsonb_array_elements(coalesce(p.desired_json -> 'product' -> 'prices', '[]')) e
        UNION ALL SELECT e -> 'price' ->> 'id', 'price' FROM jsonb_array_elements(coalesce(p.observed_json -> 'prices', '[]')) e
        UNION ALL SELECT e -> 'price' ->> 'lookup_key', 'lookup_key'
        FROM jsonb_array_elements(coalesce(p.observed_json -> 'prices', '[]')) e
        UNION ALL SELECT e ->> 'stripe_id', 'stripe_price'
        FROM jsonb_array_elements(coalesce(p.observed_json -> 'prices', '[]')) e
        UNION ALL SELECT p.observed_json ->> 'stripe_id', 'stripe_product'
    ) x(id, kind)
WHERE x.id <> '' AND octet_length(x.id) <= 1020;
