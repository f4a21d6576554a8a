INSERT INTO product_type VALUES ('ptyp_1', 'Clothes'), ('ptyp_2', 'Bags');
INSERT INTO product_category SELECT 'pcat_' || i, 'Category ' || i FROM generate_series(1, 4) i;
INSERT INTO product
    SELECT 'prod_' || i, 'Product ' || i, 'product-' || i,
        CASE WHEN i % 3 <> 0 THEN 'All about product ' || i END,
        CASE WHEN i % 8 = 0 THEN 'draft' ELSE 'published' END,
        CASE WHEN i % 4 <> 0 THEN 'ptyp_' || 1 + i % 2 END
    FROM generate_series(1, current_setting('fixture.size')::int) i;
INSERT INTO image
    SELECT 'img_' || i || '_' || j, 'https://cdn.example.com/' || i || '/' || j || '.png', 9 - j, 'prod_' || i
    FROM generate_series(1, current_setting('fixture.size')::int) i, generate_series(1, 2) j
    WHERE i % 5 <> 0;
INSERT INTO product_category_product
    SELECT 'prod_' || i, 'pcat_' || 1 + (i + j) % 4
    FROM generate_series(1, current_setting('fixture.size')::int) i, generate_series(0, 1) j
    WHERE i % 6 <> 0;
INSERT INTO product_variant
    SELECT 'variant_' || i || '_' || j, (ARRAY['S', 'M', 'L'])[j], 'SKU-' || i || '-' || j, 'prod_' || i
    FROM generate_series(1, current_setting('fixture.size')::int) i, generate_series(1, 3) j;
INSERT INTO price_set SELECT replace(id, 'variant', 'pset') FROM product_variant;
INSERT INTO product_variant_price_set SELECT id, replace(id, 'variant', 'pset') FROM product_variant;
INSERT INTO price (id, price_set_id, currency_code, amount)
    SELECT 'price_' || s.id || '_' || c.code, s.id, c.code, c.factor * (10 + abs(hashtext(s.id)) % 50) + c.tail
    FROM price_set s, (VALUES ('eur', 1, 0.5), ('usd', 1.1, 0.99), ('jpy', 150, 0), ('kwd', 0.3, 0.125)) c (code, factor, tail);
INSERT INTO price_list (id, title, status, starts_at, ends_at) VALUES
    ('plist_now', 'Sale', 'active', now() - interval '1 day', NULL),
    ('plist_draft', 'Not yet', 'draft', NULL, NULL),
    ('plist_past', 'Over', 'active', NULL, now() - interval '1 day'),
    ('plist_soon', 'Next year', 'active', now() + interval '1 year', NULL);
INSERT INTO price (id, price_set_id, currency_code, amount, price_list_id)
    SELECT 'price_' || l.id || '_' || i, 'pset_' || i || '_1', 'eur', 5, l.id
    FROM generate_series(1, 6) i, price_list l
    WHERE i <= 3 OR l.id = 'plist_soon';
-- The price of shipping belongs to a set that no variant has.
INSERT INTO price_set VALUES ('pset_shipping');
INSERT INTO price (id, price_set_id, currency_code, amount) VALUES ('price_shipping', 'pset_shipping', 'eur', 10);
