-- change: a title, and an amount of a price that spells the sku in another case
UPDATE "Product" SET "title" = 'Produkt Größe 4' WHERE "sku" = 'sku-4';
UPDATE "Price" SET "amount" = 4242 WHERE "productSku" = 'SKU-6' AND "interval" = 'ONCE';

-- change: a brand that many products use is renamed
UPDATE "Brand" SET "displayName" = 'Acme' WHERE "id" = 'brand-2';

-- change: a tag is renamed
UPDATE "Tag" SET "name" = 'Sale' WHERE "id" = 3;

-- change: all prices rise by a tenth in one statement
UPDATE "Price" SET "amount" = round("amount" * 1.1);

-- change: a product is archived, and one is published
UPDATE "Product" SET "status" = 'ARCHIVED' WHERE "sku" = 'SKU-1';
UPDATE "Product" SET "status" = 'ACTIVE' WHERE "sku" = 'SKU-2';

-- change: a product becomes a draft
UPDATE "Product" SET "status" = 'DRAFT' WHERE "sku" = 'SKU-3';

-- change: and is published again
UPDATE "Product" SET "status" = 'ACTIVE' WHERE "sku" = 'SKU-3';

-- change: features, images and attributes are others, or none
UPDATE "Product" SET "features" = '{One}', "imageUrls" = '{}' WHERE "sku" = 'SKU-5';
UPDATE "Product" SET "features" = '{}', "attributes" = '{"color": "red", "empty": ""}' WHERE "sku" = 'SKU-8';
UPDATE "Product" SET "attributes" = '{}' WHERE "sku" = 'SKU-10';

-- change: another price is the default
UPDATE "Price" SET "isDefault" = "interval" = 'YEARLY' WHERE "productSku" = 'SKU-15';

-- change: a price is deleted and made again with the same id
CREATE TABLE deleted AS SELECT * FROM "Price" WHERE "productSku" = 'SKU-9' AND "interval" = 'ONCE';
DELETE FROM "Price" WHERE "id" IN (SELECT "id" FROM deleted);

-- change: and comes back
INSERT INTO "Price" SELECT * FROM deleted;

-- change: a price moves to another product
UPDATE "Price" SET "productSku" = 'sku-11', "isDefault" = false WHERE "productSku" = 'SKU-14' AND "interval" = 'MONTHLY';

-- change: a product is deleted, and its prices with it
DELETE FROM "Product" WHERE "sku" = 'SKU-16';

-- change: a sku is changed, which makes another product of it
UPDATE "Product" SET "sku" = 'SKU-18-B' WHERE "sku" = 'SKU-18';

-- change: a new product
INSERT INTO "Product" ("sku", "title", "status") VALUES ('New-1', 'New', 'ACTIVE');
INSERT INTO "Price" ("productSku", "currency", "amount", "isDefault") VALUES ('NEW-1', 'EUR', 900, true);

-- change: a sale is over
DELETE FROM "Tag" WHERE "id" = 3;

-- change: drafts
-- expects: nothing
INSERT INTO "Product" ("sku", "title") SELECT 'draft-' || i, 'Draft ' || i FROM generate_series(1, 20000) i;

-- change: a tax class gets another code, in a table that is not watched
-- expects: reread
UPDATE "TaxClass" SET "stripeCode" = 'txcd_10103000' WHERE "id" = 'saas';
