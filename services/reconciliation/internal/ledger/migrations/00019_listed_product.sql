-- +goose NO TRANSACTION
-- +goose Up
-- Two narrow rows for each product, with everything that lists filter, sort, count and search by. The rows of product
-- are too wide for that: reading those of 200,000 products takes seconds. Triggers maintain the narrow rows in the
-- transaction of each change, also while a service of the earlier version writes.
--
-- The ledger may be large. So services go on while the rows of what it has are added. A service that writes a product
-- whose row was added waits until the statement ends. A run that was interrupted can be repeated.
CREATE TABLE IF NOT EXISTS driftless_ledger.listed_product (
    account text COLLATE "C" NOT NULL,
    product_id text COLLATE "C" NOT NULL,
    -- The name in lower case, cut so that it fits into an index.
    name_key text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    -- catalog, left or extra.
    kind text COLLATE "C" NOT NULL,
    -- In microseconds since 1970. differs_since is null if nothing differs, changed_at is 0 if it is not known.
    differs_since bigint,
    changed_at bigint NOT NULL,
    -- drift_kinds and causes are those of open drift that is not ignored, dead_reasons those of open dead letters, and
    -- held_by the rules of the guard. Each value occurs once.
    drift_kinds text[] NOT NULL,
    causes text[] NOT NULL,
    dead_reasons text[] NOT NULL,
    held_by text[] NOT NULL,
    no_active_price boolean NOT NULL,
    -- False for products in sync with an active price, no drift, dead letter or hold. Few products are notable at most
    -- times.
    is_notable boolean NOT NULL GENERATED ALWAYS AS (state <> 'in_sync' OR no_active_price
        OR cardinality(drift_kinds) + cardinality(causes) + cardinality(dead_reasons) + cardinality(held_by) > 0) STORED,
    PRIMARY KEY (account, product_id)
);
CREATE INDEX IF NOT EXISTS listed_product_name ON driftless_ledger.listed_product (account, name_key, product_id);
CREATE INDEX IF NOT EXISTS listed_product_changed ON driftless_ledger.listed_product (account, changed_at, product_id);
-- Two orders: oldest difference first, latest difference first. Products without a difference come last.
CREATE INDEX IF NOT EXISTS listed_product_oldest ON driftless_ledger.listed_product
    (account, (coalesce(differs_since, 9223372036854775807)), product_id);
CREATE INDEX IF NOT EXISTS listed_product_latest ON driftless_ledger.listed_product
    (account, (coalesce(-differs_since, 9223372036854775807)), product_id);
CREATE INDEX IF NOT EXISTS listed_product_state ON driftless_ledger.listed_product (account, is_notable, kind, state);
CREATE INDEX IF NOT EXISTS listed_product_notable ON driftless_ledger.listed_product (account, product_id)
    WHERE is_notable;

-- Everything that a search compares, in lower case, each text on a line of its own.
CREATE TABLE IF NOT EXISTS driftless_ledger.product_text (
    account text COLLATE "C" NOT NULL,
    product_id text COLLATE "C" NOT NULL,
    lines text NOT NULL,
    PRIMARY KEY (account, product_id)
);

-- words returns the words of a text: what is between characters that are neither letters nor digits. A word is cut at
-- 60 characters.
CREATE OR REPLACE FUNCTION driftless_ledger.words(lines text) RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(DISTINCT left(w, 60)), '{}')
    FROM regexp_split_to_table(lower(lines), '[^[:alnum:]]+') w WHERE w <> ''
$$;

CREATE OR REPLACE VIEW driftless_ledger.listing AS
SELECT p.account, p.product_id, left(lower(coalesce(d ->> 'name', o ->> 'name', '')), 200) AS name_key, p.state,
    CASE WHEN d IS NOT NULL THEN 'catalog' WHEN p.gone THEN 'left' ELSE 'extra' END AS kind,
    (extract(epoch FROM p.differs_since) * 1000000)::bigint AS differs_since,
    (extract(epoch FROM greatest(p.desired_since, p.observed_since)) * 1000000)::bigint AS changed_at,
    drift.kinds AS drift_kinds, drift.causes, letters.reasons AS dead_reasons, p.held_by,
    -- A product that is on sale without a price that is: in the catalog, or in Stripe if only Stripe has it.
    CASE
        WHEN d IS NOT NULL THEN d -> 'active' IS DISTINCT FROM 'false'
            AND NOT EXISTS (SELECT FROM jsonb_array_elements(d -> 'prices') e WHERE e -> 'active' IS DISTINCT FROM 'false')
        ELSE NOT p.gone AND o -> 'active' = 'true'
            AND NOT EXISTS (SELECT FROM jsonb_array_elements(p.observed_json -> 'prices') e
                WHERE e -> 'price' -> 'active' = 'true')
    END IS TRUE AS no_active_price
FROM driftless_ledger.product p
CROSS JOIN LATERAL (SELECT p.desired_json -> 'product' AS d, p.observed_json -> 'product' AS o) sides
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(DISTINCT x.kind), '{}') AS kinds, coalesce(array_agg(DISTINCT x.caused_by), '{}') AS causes
    FROM driftless_ledger.drift x
    WHERE x.account = p.account AND x.product_id = p.product_id AND x.settled_at IS NULL AND x.state <> 'ignored'
) drift
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(DISTINCT x.reason), '{}') AS reasons FROM driftless_ledger.dead_letter x
    WHERE x.account = p.account AND x.product_id = p.product_id AND x.closed_at IS NULL
) letters;

CREATE OR REPLACE VIEW driftless_ledger.text_lines AS
SELECT p.account, p.product_id, (
    SELECT coalesce(lower(string_agg(DISTINCT x.line, E'\n')), '') FROM (
        SELECT p.product_id
        UNION ALL SELECT d ->> 'name' UNION ALL SELECT o ->> 'name' UNION ALL SELECT p.observed_json ->> 'stripe_id'
        UNION ALL SELECT key || ':' || value FROM jsonb_each_text(d -> 'metadata')
        UNION ALL SELECT key || ':' || value FROM jsonb_each_text(o -> 'metadata')
        UNION ALL SELECT e ->> 'id' FROM jsonb_array_elements(d -> 'prices') e
        UNION ALL SELECT e ->> 'lookup_key' FROM jsonb_array_elements(d -> 'prices') e
        UNION ALL SELECT e ->> 'stripe_id' FROM jsonb_array_elements(p.observed_json -> 'prices') e
        UNION ALL SELECT e -> 'price' ->> 'id' FROM jsonb_array_elements(p.observed_json -> 'prices') e
        UNION ALL SELECT e -> 'price' ->> 'lookup_key' FROM jsonb_array_elements(p.observed_json -> 'prices') e
    ) x(line) WHERE x.line <> ''
) AS lines
FROM driftless_ledger.product p
CROSS JOIN LATERAL (SELECT p.desired_json -> 'product' AS d, p.observed_json -> 'product' AS o) sides;

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION driftless_ledger.list_product() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO driftless_ledger.listed_product AS l (account, product_id, name_key, state, kind, differs_since,
        changed_at, drift_kinds, causes, dead_reasons, held_by, no_active_price)
    SELECT account, product_id, name_key, state, kind, differs_since,
        changed_at, drift_kinds, causes, dead_reasons, held_by, no_active_price
    FROM driftless_ledger.listing WHERE account = NEW.account AND product_id = NEW.product_id
    ON CONFLICT (account, product_id) DO UPDATE SET name_key = excluded.name_key, state = excluded.state,
        kind = excluded.kind, differs_since = excluded.differs_since, changed_at = excluded.changed_at,
        drift_kinds = excluded.drift_kinds, causes = excluded.causes, dead_reasons = excluded.dead_reasons,
        held_by = excluded.held_by, no_active_price = excluded.no_active_price
    WHERE (l.name_key, l.state, l.kind, l.differs_since, l.changed_at, l.drift_kinds, l.causes, l.dead_reasons,
        l.held_by, l.no_active_price) IS DISTINCT FROM (excluded.name_key, excluded.state, excluded.kind,
        excluded.differs_since, excluded.changed_at, excluded.drift_kinds, excluded.causes, excluded.dead_reasons,
        excluded.held_by, excluded.no_active_price);
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION driftless_ledger.list_text() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO driftless_ledger.product_text AS t (account, product_id, lines)
    SELECT account, product_id, lines FROM driftless_ledger.text_lines
    WHERE account = NEW.account AND product_id = NEW.product_id
    ON CONFLICT (account, product_id) DO UPDATE SET lines = excluded.lines WHERE t.lines <> excluded.lines;
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION driftless_ledger.unlist_product() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM driftless_ledger.listed_product WHERE account = OLD.account COLLATE "C" AND product_id = OLD.product_id COLLATE "C";
    DELETE FROM driftless_ledger.product_text WHERE account = OLD.account COLLATE "C" AND product_id = OLD.product_id COLLATE "C";
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE OR REPLACE TRIGGER list_product AFTER INSERT OR UPDATE ON driftless_ledger.product
    FOR EACH ROW EXECUTE FUNCTION driftless_ledger.list_product();
CREATE OR REPLACE TRIGGER list_text_of_new AFTER INSERT ON driftless_ledger.product
    FOR EACH ROW EXECUTE FUNCTION driftless_ledger.list_text();
CREATE OR REPLACE TRIGGER list_text AFTER UPDATE ON driftless_ledger.product
    FOR EACH ROW WHEN (OLD.desired_json IS DISTINCT FROM NEW.desired_json OR OLD.observed_json IS DISTINCT FROM NEW.observed_json)
    EXECUTE FUNCTION driftless_ledger.list_text();
CREATE OR REPLACE TRIGGER unlist_product AFTER DELETE ON driftless_ledger.product
    FOR EACH ROW EXECUTE FUNCTION driftless_ledger.unlist_product();
CREATE OR REPLACE TRIGGER list_drift AFTER INSERT OR UPDATE OF kind, caused_by, state, settled_at ON driftless_ledger.drift
    FOR EACH ROW EXECUTE FUNCTION driftless_ledger.list_product();
CREATE OR REPLACE TRIGGER list_letter AFTER INSERT OR UPDATE OF closed_at ON driftless_ledger.dead_letter
    FOR EACH ROW EXECUTE FUNCTION driftless_ledger.list_product();

INSERT INTO driftless_ledger.listed_product (account, product_id, name_key, state, kind, differs_since, changed_at,
    drift_kinds, causes, dead_reasons, held_by, no_active_price)
SELECT account, product_id, name_key, state, kind, differs_since, changed_at,
    drift_kinds, causes, dead_reasons, held_by, no_active_price
FROM driftless_ledger.listing
ON CONFLICT DO NOTHING;
INSERT INTO driftless_ledger.product_text (account, product_id, lines)
SELECT account, product_id, lines FROM driftless_ledger.text_lines
ON CONFLICT DO NOTHING;
-- A search finds the beginnings of words. An index of all parts of words, as of pg_trgm, costs ten times as much to
-- write. This index is built last, which is faster. An interrupted run leaves an index that is not valid, so it is
-- dropped first.
DROP INDEX IF EXISTS driftless_ledger.product_text_words;
CREATE INDEX CONCURRENTLY product_text_words ON driftless_ledger.product_text
    USING gin (array_to_tsvector(driftless_ledger.words(lines)));
ANALYZE driftless_ledger.listed_product, driftless_ledger.product_text;
