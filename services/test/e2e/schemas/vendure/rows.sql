INSERT INTO tax_category (name) VALUES ('Standard'), ('Reduced');
INSERT INTO channel (code, "pricesIncludeTax") VALUES ('__default_channel__', true), ('trade', false);
INSERT INTO product (enabled) SELECT i % 9 <> 0 FROM generate_series(1, current_setting('fixture.size')::int / 2) i;
INSERT INTO product_translation ("languageCode", name, slug, description, "baseId")
    SELECT l.code, l.name || id, l.code || '-' || id, CASE WHEN id % 3 <> 0 THEN l.name || 'no. ' || id ELSE '' END, id
    FROM product, (VALUES ('en', 'Product '), ('de', 'Produkt ')) l (code, name)
    WHERE l.code = 'en' OR id % 4 <> 0;
INSERT INTO product_variant (sku, "productId", "taxCategoryId")
    SELECT 'V' || id || '-' || j, id, j FROM product, generate_series(1, 2) j;
INSERT INTO product_variant_translation ("languageCode", name, "baseId")
    SELECT l, l || ' ' || sku, id FROM product_variant, unnest(ARRAY['en', 'de']) l WHERE l = 'en' OR id % 5 <> 0;
INSERT INTO product_variant_price ("currencyCode", price, "channelId", "variantId")
    SELECT c.currency, 1000 + 10 * v.id + c.channel, c.channel, v.id
    FROM product_variant v, (VALUES ('USD', 1), ('EUR', 1), ('EUR', 2)) c (currency, channel)
    WHERE c.currency = 'EUR' OR v.id % 6 <> 0;
