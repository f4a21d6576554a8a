-- +goose Up
-- Stripe's ids of the products and prices of the catalog. Applications read it, and only ingestion writes it.
CREATE TABLE driftless.stripe_ids (
    account text NOT NULL,
    -- The catalog's ids. The row of the product itself has the price_id ''.
    product_id text NOT NULL,
    price_id text NOT NULL,
    stripe_product_id text NOT NULL,
    -- NULL in the row of a product.
    stripe_price_id text,
    -- The key that the price holds in Stripe, NULL for none.
    lookup_key text,
    -- Stripe sells it: the product is active, and so is the price.
    active boolean NOT NULL,
    -- The price is the product's default price.
    is_default boolean NOT NULL DEFAULT false,
    -- The catalog's version that brought the row to what it is.
    since_version bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account, product_id, price_id)
);

CREATE INDEX stripe_ids_price ON driftless.stripe_ids (price_id);
CREATE INDEX stripe_ids_lookup_key ON driftless.stripe_ids (lookup_key);

-- How far the bucket OBSERVED is read. It is written in the transaction of the rows, so that none is written twice.
CREATE TABLE driftless.stripe_ids_progress (
    account text NOT NULL,
    -- The row with '' has the position in the bucket. The others have the revision of the product's rows.
    product_id text NOT NULL,
    revision bigint NOT NULL,
    -- When the bucket was created, in the row of the position. Another bucket counts from 1 again.
    bucket_created timestamptz,
    PRIMARY KEY (account, product_id)
);
