-- change: a title and a handle
UPDATE product SET title = 'Product 1, now in green', handle = 'product-1-green' WHERE id = 'prod_1';

-- change: a price in euros, and one in a currency without a minor unit
UPDATE price SET amount = 19.99 WHERE id = 'price_pset_4_1_eur';
UPDATE price SET amount = 2999 WHERE id = 'price_pset_5_1_jpy';

-- change: a currency is offered no longer
UPDATE price SET deleted_at = now() WHERE id = 'price_pset_4_1_usd';

-- change: and is offered again, at another amount
UPDATE price SET deleted_at = NULL, amount = 24.95 WHERE id = 'price_pset_4_1_usd';

-- change: a category that many products use is renamed
UPDATE product_category SET name = 'Summer' WHERE id = 'pcat_2';

-- change: a category is deleted softly
UPDATE product_category SET deleted_at = now() WHERE id = 'pcat_3';

-- change: all prices rise by a tenth in one statement
UPDATE price SET amount = amount * 1.1;

-- change: the sale ends
UPDATE price_list SET ends_at = now() - interval '1 second' WHERE id = 'plist_now';

-- change: a draft of a price list becomes active
UPDATE price_list SET status = 'active' WHERE id = 'plist_draft';

-- change: an image is deleted, one is added, and the order is another
DELETE FROM image WHERE id = 'img_1_1';
INSERT INTO image VALUES ('img_1_3', 'https://cdn.example.com/1/3.png', 1, 'prod_1');
UPDATE image SET rank = 99 WHERE id = 'img_2_2';

-- change: a product is deleted softly
UPDATE product SET deleted_at = now() WHERE id = 'prod_7';

-- change: and comes back
UPDATE product SET deleted_at = NULL WHERE id = 'prod_7';

-- change: a variant is deleted softly
UPDATE product_variant SET deleted_at = now() WHERE id = 'variant_9_2';

-- change: and comes back
UPDATE product_variant SET deleted_at = NULL WHERE id = 'variant_9_2';

-- change: a variant moves to another product
UPDATE product_variant SET product_id = 'prod_11' WHERE id = 'variant_10_3';

-- change: two variants change their price sets
UPDATE product_variant_price_set SET price_set_id = 'pset_12_1' WHERE variant_id = 'variant_13_1';

-- change: a product is deleted with all that belongs to it
DELETE FROM image WHERE product_id = 'prod_14';
DELETE FROM product_category_product WHERE product_id = 'prod_14';
DELETE FROM price WHERE price_set_id LIKE 'pset\_14\_%';
DELETE FROM product_variant_price_set WHERE variant_id LIKE 'variant\_14\_%';
DELETE FROM product_variant WHERE product_id = 'prod_14';
DELETE FROM product WHERE id = 'prod_14';

-- change: a new product with a variant
INSERT INTO product VALUES ('prod_new', 'New', 'new', NULL, 'published', 'ptyp_1');
INSERT INTO product_variant VALUES ('variant_new', 'One size', NULL, 'prod_new');
INSERT INTO price_set VALUES ('pset_new');
INSERT INTO product_variant_price_set VALUES ('variant_new', 'pset_new');
INSERT INTO price (id, price_set_id, currency_code, amount) VALUES ('price_new', 'pset_new', 'eur', 12.345);

-- change: prices of shipping, which no variant has
-- expects: nothing
INSERT INTO price (id, price_set_id, currency_code, amount)
    SELECT 'price_shipping_' || i, 'pset_shipping', 'eur', i FROM generate_series(1, 20000) i;

-- change: a price list starts at an hour
-- expects: reread
BEGIN;
UPDATE price_list SET starts_at = clock_timestamp() + interval '1 second' WHERE id = 'plist_soon';
COMMIT;
SELECT pg_sleep(1.1);

-- change: a type is renamed, in a table that is not watched
-- expects: reread
UPDATE product_type SET value = 'Clothing' WHERE id = 'ptyp_1';
