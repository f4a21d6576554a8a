INSERT INTO tax_taxclass (name, stripe_code) VALUES ('Books', 'txcd_35010000'), ('Standard', NULL);
INSERT INTO product_category (name, slug, parent_id) VALUES
    ('Apparel', 'apparel', NULL), ('Shoes', 'shoes', 1), ('Shirts', 'shirts', 1), ('Books', 'books', NULL);
INSERT INTO channel_channel (slug, currency_code, is_active) VALUES
    ('default-channel', 'USD', true), ('channel-pln', 'PLN', true), ('channel-jpy', 'JPY', false);
INSERT INTO product_product (name, slug, description_plaintext, category_id, tax_class_id)
    SELECT 'Product ' || i, 'product-' || i, CASE WHEN i % 3 <> 0 THEN 'About ' || i ELSE '' END,
        CASE WHEN i % 7 <> 0 THEN 1 + i % 4 END, 1 + i % 2
    FROM generate_series(1, current_setting('fixture.size')::int / 2) i;
INSERT INTO product_productmedia (product_id, image, sort_order)
    SELECT p.id, 'products/' || p.id || '-' || j || '.jpg', 3 - j FROM product_product p, generate_series(1, 2) j WHERE p.id % 4 <> 0;
INSERT INTO product_productvariant (sku, name, product_id)
    SELECT 'SKU-' || p.id || '-' || j, (ARRAY['S', 'XL'])[j], p.id FROM product_product p, generate_series(1, 2) j;
INSERT INTO product_productchannellisting (product_id, channel_id, is_published)
    SELECT p.id, c.id, (p.id + c.id) % 9 <> 0 FROM product_product p, channel_channel c WHERE c.id <> 2 OR p.id % 5 <> 0;
INSERT INTO product_productvariantchannellisting (variant_id, channel_id, price_amount)
    SELECT v.id, c.id, CASE WHEN (v.id + c.id) % 13 <> 0 THEN (10 * c.id * c.id) + v.id % 50 + 0.5 END
    FROM product_productvariant v, channel_channel c;
