-- change: a price and a name
UPDATE products SET unit_price = 42.42, product_name = 'Product 1, improved' WHERE product_id = 1;

-- change: a category that many products use is renamed
UPDATE categories SET category_name = 'Drinks' WHERE category_id = 2;

-- change: a supplier is renamed
UPDATE suppliers SET company_name = 'Supplier 3 & Sons' WHERE supplier_id = 3;

-- change: all prices rise by a tenth in one statement
UPDATE products SET unit_price = unit_price * 1.1;

-- change: products are discontinued
UPDATE products SET discontinued = 1 WHERE product_id IN (2, 3);

-- change: and are sold again
UPDATE products SET discontinued = 0 WHERE product_id IN (2, 3);

-- change: products move to another category and supplier
UPDATE products SET category_id = 1, supplier_id = 5 WHERE product_id IN (5, 6);

-- change: a price is withdrawn
UPDATE products SET unit_price = NULL WHERE product_id = 7;

-- change: and comes back
UPDATE products SET unit_price = 7.77 WHERE product_id = 7;

-- change: products are deleted
CREATE TABLE deleted AS SELECT * FROM products WHERE product_id IN (8, 10);
DELETE FROM products WHERE product_id IN (8, 10);

-- change: and come back as they were
INSERT INTO products SELECT * FROM deleted;

-- change: a new product in a new category
INSERT INTO categories VALUES (4, 'Produce');
INSERT INTO products VALUES (10001, 'Tofu', 1, 4, '40 - 100 g pkgs.', 23.25, 0);

-- change: orders of customers
-- expects: nothing
INSERT INTO orders SELECT i, 1 + i % 7, 1 FROM generate_series(1, 20000) i;

-- change: a country is renamed, in a table that is not watched
-- expects: reread
UPDATE countries SET name = 'Deutschland' WHERE code = 'DE';
