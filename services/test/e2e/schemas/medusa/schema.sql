-- A shop whose prices lie in a module of their own. A price knows its price set, and only a link table knows the
-- variant of a set. Amounts are in major units of many currencies. Price lists override prices for a time.
CREATE TABLE product_type (id text PRIMARY KEY, value text NOT NULL, deleted_at timestamptz);
CREATE TABLE product_category (id text PRIMARY KEY, name text NOT NULL, deleted_at timestamptz);
CREATE TABLE product (
    id text PRIMARY KEY,
    title text NOT NULL,
    handle text NOT NULL,
    description text,
    status text NOT NULL DEFAULT 'published' CHECK (status IN ('draft', 'proposed', 'published', 'rejected')),
    type_id text REFERENCES product_type,
    deleted_at timestamptz
);
CREATE TABLE image (
    id text PRIMARY KEY,
    url text NOT NULL,
    rank int NOT NULL DEFAULT 0,
    product_id text NOT NULL REFERENCES product,
    deleted_at timestamptz
);
ALTER TABLE image REPLICA IDENTITY FULL;
CREATE TABLE product_category_product (
    product_id text REFERENCES product,
    product_category_id text REFERENCES product_category,
    PRIMARY KEY (product_id, product_category_id)
);
CREATE TABLE product_variant (
    id text PRIMARY KEY,
    title text NOT NULL,
    sku text,
    product_id text NOT NULL REFERENCES product,
    deleted_at timestamptz
);
ALTER TABLE product_variant REPLICA IDENTITY FULL;
CREATE TABLE price_set (id text PRIMARY KEY);
CREATE TABLE product_variant_price_set (
    variant_id text REFERENCES product_variant,
    price_set_id text REFERENCES price_set,
    PRIMARY KEY (variant_id, price_set_id)
);
CREATE TABLE price_list (
    id text PRIMARY KEY,
    title text NOT NULL,
    status text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'active')),
    starts_at timestamptz,
    ends_at timestamptz
);
CREATE TABLE price (
    id text PRIMARY KEY,
    price_set_id text NOT NULL REFERENCES price_set,
    currency_code text NOT NULL,
    amount numeric NOT NULL,
    price_list_id text REFERENCES price_list,
    deleted_at timestamptz
);
ALTER TABLE price REPLICA IDENTITY FULL;
CREATE INDEX ON price (price_set_id);
CREATE INDEX ON price (price_list_id);
CREATE INDEX ON product_variant_price_set (price_set_id);
