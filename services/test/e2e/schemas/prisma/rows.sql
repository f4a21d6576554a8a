INSERT INTO "TaxClass" VALUES ('standard', 'txcd_99999999'), ('saas', 'txcd_10103001');
INSERT INTO "Brand" SELECT 'brand-' || i, 'Brand ' || i FROM generate_series(1, 5) i;
INSERT INTO "Tag" SELECT i, 'Tag ' || i FROM generate_series(1, 4) i;
INSERT INTO "Product" ("sku", "title", "status", "brandId", "taxClassId", "features", "imageUrls", "attributes")
    SELECT 'SKU-' || i, 'Product ' || i, (ARRAY['ACTIVE', 'ACTIVE', 'DRAFT', 'ACTIVE', 'ARCHIVED'])[1 + i % 5]::"ProductStatus",
        CASE WHEN i % 6 <> 0 THEN 'brand-' || 1 + i % 5 END, CASE WHEN i % 4 <> 0 THEN (ARRAY['standard', 'saas'])[1 + i % 2] END,
        CASE WHEN i % 3 <> 0 THEN ARRAY['Feature ' || i, 'Größe ' || i] ELSE '{}' END,
        CASE WHEN i % 4 <> 1 THEN ARRAY['https://img.example.com/' || i || '.png'] ELSE '{}' END,
        CASE i % 3 WHEN 0 THEN '{}' WHEN 1 THEN jsonb_build_object('color', 'blue', 'weight', i, 'fragile', true, 'note', NULL)
            ELSE jsonb_build_object('size', jsonb_build_object('length', i, 'width', 2.5, 'height', 1, 'weight', 10)) END
    FROM generate_series(1, current_setting('fixture.size')::int) i;
-- The sku is typed in any case.
INSERT INTO "Price" ("productSku", "currency", "amount", "interval", "isDefault")
    SELECT CASE WHEN i % 2 = 0 THEN 'sku-' ELSE 'SKU-' END || i, (ARRAY['EUR', 'USD', 'JPY'])[1 + i % 3], 1000 + i,
        (ARRAY['ONCE', 'MONTHLY', 'YEARLY'])[j]::"BillingInterval", j = 1 + i % 3
    FROM generate_series(1, current_setting('fixture.size')::int) i, generate_series(1, 3) j
    WHERE (i + j) % 7 <> 0;
INSERT INTO "_ProductToTag" SELECT 'sku-' || i, 1 + (i + j) % 4
    FROM generate_series(1, current_setting('fixture.size')::int) i, generate_series(0, 1) j;
