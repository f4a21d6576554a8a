INSERT INTO wp_options (option_name, option_value) VALUES ('blogname', 'Shop'), ('woocommerce_currency', 'EUR');
INSERT INTO wp_terms (name) VALUES ('Clothing'), ('Music'), ('featured');
INSERT INTO wp_term_taxonomy (term_id, taxonomy) VALUES (1, 'product_cat'), (2, 'product_cat'), (3, 'post_tag');
INSERT INTO wp_posts ("ID", post_title, post_name, post_excerpt, post_status, post_type)
    SELECT i, 'Product ' || i, 'product-' || i, CASE WHEN i % 3 <> 0 THEN 'Product ' || i || ' in short' ELSE '' END,
        CASE WHEN i % 8 = 0 THEN 'draft' ELSE 'publish' END, 'product'
    FROM generate_series(1, current_setting('fixture.size')::int) i;
-- Every fourth product has two variations, and no price of its own.
INSERT INTO wp_posts ("ID", post_title, post_type, post_parent)
    SELECT 1000000 + 10 * i + j, 'Product ' || i || ' - ' || (ARRAY['Blue', 'Red'])[j], 'product_variation', i
    FROM generate_series(4, current_setting('fixture.size')::int, 4) i, generate_series(1, 2) j;
INSERT INTO wp_posts ("ID", post_title, post_type, post_status, guid)
    SELECT 2000000 + i, 'image ' || i, 'attachment', 'inherit', 'https://shop.example.com/uploads/' || i || '.png'
    FROM generate_series(1, current_setting('fixture.size')::int) i;
INSERT INTO wp_postmeta (post_id, meta_key, meta_value)
    SELECT "ID", '_price', (5 + "ID" % 90) || CASE WHEN "ID" % 2 = 0 THEN '' ELSE '.99' END FROM wp_posts
    WHERE post_type = 'product_variation' OR post_type = 'product' AND "ID" % 4 <> 0;
INSERT INTO wp_postmeta (post_id, meta_key, meta_value)
    SELECT "ID", '_sku', 'woo-' || "ID" FROM wp_posts WHERE post_type LIKE 'product%' AND "ID" % 5 <> 0;
INSERT INTO wp_postmeta (post_id, meta_key, meta_value)
    SELECT "ID", '_thumbnail_id', 2000000 + "ID" FROM wp_posts WHERE post_type = 'product' AND "ID" % 3 <> 0;
INSERT INTO wp_postmeta (post_id, meta_key, meta_value)
    SELECT "ID", '_stock', '10' FROM wp_posts WHERE post_type LIKE 'product%';
INSERT INTO wp_term_relationships SELECT "ID", 1 + "ID" % 3 FROM wp_posts WHERE post_type = 'product';
