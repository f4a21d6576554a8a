-- A shop with sales channels: a variant is a product in Stripe, and its listing in each channel is a price of it.
-- Names, media, categories and publication belong to the product above the variants.
CREATE TABLE tax_taxclass (id serial PRIMARY KEY, name text NOT NULL, stripe_code text);
CREATE TABLE product_category (
    id serial PRIMARY KEY,
    name text NOT NULL,
    slug text NOT NULL,
    parent_id int REFERENCES product_category
);
CREATE TABLE product_product (
    id serial PRIMARY KEY,
    name text NOT NULL,
    slug text NOT NULL UNIQUE,
    description_plaintext text NOT NULL DEFAULT '',
    category_id int REFERENCES product_category,
    tax_class_id int REFERENCES tax_taxclass
);
CREATE TABLE product_productmedia (
    id serial PRIMARY KEY,
    product_id int REFERENCES product_product,
    image text,
    sort_order int
);
ALTER TABLE product_productmedia REPLICA IDENTITY FULL;
CREATE TABLE product_productvariant (
    id serial PRIMARY KEY,
    sku text UNIQUE,
    name text NOT NULL,
    product_id int NOT NULL REFERENCES product_product
);
CREATE TABLE channel_channel (
    id serial PRIMARY KEY,
    slug text NOT NULL,
    currency_code varchar(3) NOT NULL,
    is_active boolean NOT NULL
);
CREATE TABLE product_productchannellisting (
    id serial PRIMARY KEY,
    product_id int NOT NULL REFERENCES product_product,
    channel_id int NOT NULL REFERENCES channel_channel,
    is_published boolean NOT NULL,
    UNIQUE (product_id, channel_id)
);
ALTER TABLE product_productchannellisting REPLICA IDENTITY FULL;
CREATE TABLE product_productvariantchannellisting (
    id serial PRIMARY KEY,
    variant_id int NOT NULL REFERENCES product_productvariant,
    channel_id int NOT NULL REFERENCES channel_channel,
    price_amount numeric(12, 3),
    UNIQUE (variant_id, channel_id)
);
ALTER TABLE product_productvariantchannellisting REPLICA IDENTITY FULL;
CREATE INDEX ON product_productvariant (product_id);
