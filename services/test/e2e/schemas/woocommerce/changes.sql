-- change: a title and a slug
UPDATE wp_posts SET post_title = 'Album', post_name = 'album' WHERE "ID" = 1;

-- change: the price of a product and that of a variation
UPDATE wp_postmeta SET meta_value = '18.50' WHERE post_id = 2 AND meta_key = '_price';
UPDATE wp_postmeta SET meta_value = '19' WHERE post_id = 1000041 AND meta_key = '_price';

-- change: a category is renamed
UPDATE wp_terms SET name = 'Clothes' WHERE term_id = 1;

-- change: a tag is renamed that is no category
-- expects: nothing
UPDATE wp_terms SET name = 'staff picks' WHERE term_id = 3;

-- change: all prices rise by a tenth in one statement
UPDATE wp_postmeta SET meta_value = round(meta_value::numeric * 1.1, 2)::text WHERE meta_key = '_price';

-- change: stock is counted
-- expects: nothing
UPDATE wp_postmeta SET meta_value = '9' WHERE meta_key = '_stock';

-- change: an image is replaced, and another file is given to one
UPDATE wp_posts SET guid = 'https://shop.example.com/uploads/new.png' WHERE "ID" = 2000001;
UPDATE wp_postmeta SET meta_value = '2000009' WHERE post_id = 2 AND meta_key = '_thumbnail_id';

-- change: a product goes to the trash
UPDATE wp_posts SET post_status = 'trash' WHERE "ID" = 5;

-- change: and is taken out of it
UPDATE wp_posts SET post_status = 'publish' WHERE "ID" = 5;

-- change: a variation goes to the trash
UPDATE wp_posts SET post_status = 'trash' WHERE "ID" = 1000082;

-- change: and is taken out of it
UPDATE wp_posts SET post_status = 'publish' WHERE "ID" = 1000082;

-- change: a product becomes a draft
UPDATE wp_posts SET post_status = 'draft' WHERE "ID" = 7;

-- change: a post becomes a product, and a product becomes a page
INSERT INTO wp_posts ("ID", post_title, post_name) VALUES (3000001, 'Poster', 'poster');
INSERT INTO wp_postmeta (post_id, meta_key, meta_value) VALUES (3000001, '_price', '12');
UPDATE wp_posts SET post_type = 'product' WHERE "ID" = 3000001;
UPDATE wp_posts SET post_type = 'page' WHERE "ID" = 9;

-- change: a variation moves to another product
UPDATE wp_posts SET post_parent = 8 WHERE "ID" = 1000121;

-- change: the attributes of a product are deleted, and with them its price
DELETE FROM wp_postmeta WHERE post_id = 10;

-- change: a product is deleted with all that belongs to it
CREATE TABLE deleted_posts AS SELECT * FROM wp_posts WHERE "ID" = 16 OR post_parent = 16;
CREATE TABLE deleted_meta AS SELECT * FROM wp_postmeta WHERE post_id IN (SELECT "ID" FROM deleted_posts);
DELETE FROM wp_term_relationships WHERE object_id = 16;
DELETE FROM wp_postmeta WHERE post_id IN (SELECT "ID" FROM deleted_posts);
DELETE FROM wp_posts WHERE "ID" IN (SELECT "ID" FROM deleted_posts);

-- change: and comes back, without its category
INSERT INTO wp_posts SELECT * FROM deleted_posts;
INSERT INTO wp_postmeta SELECT * FROM deleted_meta;

-- change: a product is put in a category
INSERT INTO wp_term_relationships VALUES (16, 2);

-- change: orders with their attributes
-- expects: nothing
INSERT INTO wp_posts ("ID", post_title, post_type, post_status)
    SELECT 4000000 + i, 'Order ' || i, 'shop_order', 'wc-completed' FROM generate_series(1, 20000) i;
INSERT INTO wp_postmeta (post_id, meta_key, meta_value)
    SELECT 4000000 + i, key, i::text FROM generate_series(1, 20000) i, unnest(ARRAY['_order_total', '_sku']) key;

-- change: a price is no number
-- expects: dead 2
UPDATE wp_postmeta SET meta_value = '12,50' WHERE post_id = 2 AND meta_key = '_price';
UPDATE wp_posts SET post_title = 'Renamed beside it' WHERE "ID" = 3;

-- change: and is one again
UPDATE wp_postmeta SET meta_value = '12.50' WHERE post_id = 2 AND meta_key = '_price';

-- change: the shop sells in another currency, in a table that is not watched
-- expects: reread
UPDATE wp_options SET option_value = 'JPY' WHERE option_name = 'woocommerce_currency';
UPDATE wp_options SET option_value = 'USD' WHERE option_name = 'woocommerce_currency';
