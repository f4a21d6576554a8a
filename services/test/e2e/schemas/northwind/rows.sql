INSERT INTO countries VALUES ('DE', 'Germany'), ('JP', 'Japan'), ('US', 'United States');
INSERT INTO suppliers
    SELECT i, 'Supplier ' || i, (ARRAY['DE', 'JP', 'US'])[1 + i % 3] FROM generate_series(1, 7) i;
INSERT INTO categories VALUES (1, 'Beverages'), (2, 'Condiments'), (3, 'Seafood');
INSERT INTO products
    SELECT i, 'Product ' || i,
        CASE WHEN i % 10 <> 4 THEN 1 + i % 7 END, -- some have no supplier
        1 + i % 3,
        CASE WHEN i % 4 <> 0 THEN i || ' boxes' END,
        (i * 13 % 5000) / 20.0,
        (i % 9 = 0)::int
    FROM generate_series(1, current_setting('fixture.size')::int) i;
