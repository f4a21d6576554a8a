-- change: a product is renamed, and its slug with it
UPDATE product_product SET name = 'Mighty Mug', slug = 'mighty-mug' WHERE id = 1;

-- change: the price of one listing
UPDATE product_productvariantchannellisting SET price_amount = 99.99 WHERE variant_id = 1 AND channel_id = 1;

-- change: a parent category is renamed
UPDATE product_category SET name = 'Clothes' WHERE slug = 'apparel';

-- change: all prices rise by a tenth in one statement
UPDATE product_productvariantchannellisting SET price_amount = price_amount * 1.1;

-- change: a product is published no longer in the default channel
UPDATE product_productchannellisting SET is_published = false WHERE product_id = 3 AND channel_id = 1;

-- change: and is published again
UPDATE product_productchannellisting SET is_published = true WHERE product_id = 3 AND channel_id = 1;

-- change: a channel opens
UPDATE channel_channel SET is_active = true WHERE slug = 'channel-jpy';

-- change: a channel closes
UPDATE channel_channel SET is_active = false WHERE slug = 'channel-pln';

-- change: and opens again
UPDATE channel_channel SET is_active = true WHERE slug = 'channel-pln';

-- change: media are put in another order, and one is deleted
UPDATE product_productmedia SET sort_order = 10 - sort_order WHERE product_id = 5;
DELETE FROM product_productmedia WHERE id = (SELECT min(id) FROM product_productmedia WHERE product_id = 6);

-- change: a variant moves to another product
UPDATE product_productvariant SET product_id = 8 WHERE sku = 'SKU-9-2';

-- change: a product moves to another category
UPDATE product_product SET category_id = 4 WHERE id = 10;

-- change: a variant is deleted
CREATE TABLE deleted_variant AS SELECT * FROM product_productvariant WHERE sku = 'SKU-11-1';
CREATE TABLE deleted_listing AS SELECT * FROM product_productvariantchannellisting WHERE variant_id IN (SELECT id FROM deleted_variant);
DELETE FROM product_productvariantchannellisting WHERE variant_id IN (SELECT id FROM deleted_variant);
DELETE FROM product_productvariant WHERE id IN (SELECT id FROM deleted_variant);

-- change: and comes back as it was
INSERT INTO product_productvariant SELECT * FROM deleted_variant;
INSERT INTO product_productvariantchannellisting SELECT * FROM deleted_listing;

-- change: a listing is deleted, and so is what makes another a price
DELETE FROM product_productvariantchannellisting WHERE variant_id = 13 AND channel_id = 1;
UPDATE product_productvariantchannellisting SET price_amount = NULL WHERE variant_id = 14 AND channel_id = 1;

-- change: a new product with a variant in one channel
INSERT INTO product_product (id, name, slug, category_id) VALUES (10001, 'New', 'new', 2);
INSERT INTO product_productvariant (id, sku, name, product_id) VALUES (10001, 'NEW', 'M', 10001);
INSERT INTO product_productchannellisting (product_id, channel_id, is_published) VALUES (10001, 1, true);
INSERT INTO product_productvariantchannellisting (variant_id, channel_id, price_amount) VALUES (10001, 1, 12.345);

-- change: products without variants
-- expects: nothing
INSERT INTO product_product (id, name, slug) SELECT i, 'Draft ' || i, 'draft-' || i FROM generate_series(20001, 40000) i;

-- change: a tax class gets a code, in a table that is not watched
-- expects: reread
UPDATE tax_taxclass SET stripe_code = 'txcd_99999999' WHERE name = 'Standard';
