-- A shop whose tables an object mapper made: columns in mixed case, texts in translation tables, and a soft deletion
-- that may be at the variant or at the product above it.
CREATE TABLE product (
    id serial PRIMARY KEY,
    enabled boolean NOT NULL DEFAULT true,
    "deletedAt" timestamp
);
CREATE TABLE product_translation (
    id serial PRIMARY KEY,
    "languageCode" varchar NOT NULL,
    name varchar NOT NULL,
    slug varchar NOT NULL,
    description text NOT NULL,
    "baseId" int REFERENCES product ON DELETE CASCADE,
    UNIQUE ("baseId", "languageCode")
);
ALTER TABLE product_translation REPLICA IDENTITY FULL;
CREATE TABLE tax_category (id serial PRIMARY KEY, name varchar NOT NULL);
CREATE TABLE product_variant (
    id serial PRIMARY KEY,
    enabled boolean NOT NULL DEFAULT true,
    sku varchar NOT NULL,
    "deletedAt" timestamp,
    "productId" int REFERENCES product,
    "taxCategoryId" int REFERENCES tax_category
);
CREATE INDEX ON product_variant ("productId");
CREATE TABLE product_variant_translation (
    id serial PRIMARY KEY,
    "languageCode" varchar NOT NULL,
    name varchar NOT NULL,
    "baseId" int REFERENCES product_variant ON DELETE CASCADE
);
ALTER TABLE product_variant_translation REPLICA IDENTITY FULL;
CREATE TABLE channel (id serial PRIMARY KEY, code varchar NOT NULL, "pricesIncludeTax" boolean NOT NULL);
CREATE TABLE product_variant_price (
    id serial PRIMARY KEY,
    "currencyCode" varchar NOT NULL,
    price int NOT NULL, -- in minor units
    "channelId" int NOT NULL REFERENCES channel,
    "variantId" int REFERENCES product_variant ON DELETE CASCADE
);
ALTER TABLE product_variant_price REPLICA IDENTITY FULL;
CREATE TABLE session (id serial PRIMARY KEY, token varchar NOT NULL);
