-- change: a price
UPDATE product_variant_price SET price = 4242 WHERE "variantId" = 1 AND "currencyCode" = 'USD';

-- change: a product's German name and slug, which its variants show
UPDATE product_translation SET name = 'Tasse', slug = 'tasse' WHERE "baseId" = 1 AND "languageCode" = 'de';

-- change: an English text that nobody sees, because there is a German one
-- expects: nothing
UPDATE product_translation SET description = 'unseen' WHERE "baseId" = 1 AND "languageCode" = 'en';

-- change: a translation is deleted, so that the English one shows
DELETE FROM product_translation WHERE "baseId" = 2 AND "languageCode" = 'de';

-- change: a translation is added
INSERT INTO product_variant_translation ("languageCode", name, "baseId") VALUES ('de', 'Neu', 5);

-- change: all prices rise by a tenth in one statement
UPDATE product_variant_price SET price = round(price * 1.1);

-- change: a product is deleted softly, and its variants are not
UPDATE product SET "deletedAt" = now() WHERE id = 3;

-- change: and comes back
UPDATE product SET "deletedAt" = NULL WHERE id = 3;

-- change: a variant is deleted softly
UPDATE product_variant SET "deletedAt" = now() WHERE sku = 'V5-1';

-- change: and comes back
UPDATE product_variant SET "deletedAt" = NULL WHERE sku = 'V5-1';

-- change: a product is disabled, and a variant of another
UPDATE product SET enabled = false WHERE id = 6;
UPDATE product_variant SET enabled = false WHERE sku = 'V7-2';

-- change: both are enabled again
UPDATE product SET enabled = true WHERE id = 6;
UPDATE product_variant SET enabled = true WHERE sku = 'V7-2';

-- change: a variant moves to another product
UPDATE product_variant SET "productId" = 8 WHERE sku = 'V10-2';

-- change: a price moves to another variant
UPDATE product_variant_price SET "variantId" = 11
    WHERE id = (SELECT id FROM product_variant_price WHERE "variantId" = 12 AND "channelId" = 2);

-- change: a variant is deleted with its translations and prices
DELETE FROM product_variant WHERE sku = 'V7-1';

-- change: a new product with a variant
INSERT INTO product (id) VALUES (10001);
INSERT INTO product_translation ("languageCode", name, slug, description, "baseId") VALUES ('en', 'New', 'new', 'Brand new', 10001);
INSERT INTO product_variant (id, sku, "productId", "taxCategoryId") VALUES (10001, 'NEW', 10001, 1);
INSERT INTO product_variant_translation ("languageCode", name, "baseId") VALUES ('en', 'New one', 10001);
INSERT INTO product_variant_price ("currencyCode", price, "channelId", "variantId") VALUES ('JPY', 1500, 1, 10001);

-- change: a channel that many prices are of is renamed
UPDATE channel SET code = 'wholesale' WHERE code = 'trade';

-- change: sessions of customers
-- expects: nothing
INSERT INTO session (token) SELECT 'token ' || i FROM generate_series(1, 20000) i;

-- change: products without variants
-- expects: nothing
INSERT INTO product (id) SELECT i FROM generate_series(20001, 40000) i;

-- change: a tax category is renamed, in a table that is not watched
-- expects: reread
UPDATE tax_category SET name = 'Normal' WHERE name = 'Standard';
