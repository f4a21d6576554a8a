-- A trading company: prices in major units as floating-point numbers, a flag that is an integer, lookup tables that
-- many products share, and one of them two joins away.
CREATE TABLE countries (
    code char(2) PRIMARY KEY,
    name text NOT NULL
);
CREATE TABLE suppliers (
    supplier_id smallint PRIMARY KEY,
    company_name varchar(40) NOT NULL,
    country_code char(2) NOT NULL REFERENCES countries
);
CREATE TABLE categories (
    category_id smallint PRIMARY KEY,
    category_name varchar(15) NOT NULL
);
CREATE TABLE products (
    product_id smallint PRIMARY KEY,
    product_name varchar(40) NOT NULL,
    supplier_id smallint REFERENCES suppliers,
    category_id smallint REFERENCES categories,
    quantity_per_unit varchar(20),
    unit_price real,
    discontinued integer NOT NULL DEFAULT 0
);
CREATE TABLE orders (
    order_id integer PRIMARY KEY,
    product_id smallint NOT NULL REFERENCES products,
    quantity smallint NOT NULL
);
