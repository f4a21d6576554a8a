-- A shop inside a content system: products, their variations, images, orders and pages are rows of one table, and
-- everything else about them is text in a table of attributes (EAV).
CREATE TABLE wp_posts (
    "ID" bigserial PRIMARY KEY,
    post_title text NOT NULL DEFAULT '',
    post_name varchar(200) NOT NULL DEFAULT '',
    post_excerpt text NOT NULL DEFAULT '',
    post_status varchar(20) NOT NULL DEFAULT 'publish',
    post_type varchar(20) NOT NULL DEFAULT 'post',
    post_parent bigint NOT NULL DEFAULT 0,
    guid varchar(255) NOT NULL DEFAULT ''
);
ALTER TABLE wp_posts REPLICA IDENTITY FULL;
CREATE INDEX ON wp_posts (post_parent);
CREATE TABLE wp_postmeta (
    meta_id bigserial PRIMARY KEY,
    post_id bigint NOT NULL DEFAULT 0,
    meta_key varchar(255),
    meta_value text
);
ALTER TABLE wp_postmeta REPLICA IDENTITY FULL;
CREATE INDEX ON wp_postmeta (post_id);
CREATE INDEX ON wp_postmeta (meta_key);
CREATE TABLE wp_terms (term_id bigserial PRIMARY KEY, name varchar(200) NOT NULL);
CREATE TABLE wp_term_taxonomy (
    term_taxonomy_id bigserial PRIMARY KEY,
    term_id bigint NOT NULL,
    taxonomy varchar(32) NOT NULL
);
CREATE TABLE wp_term_relationships (
    object_id bigint NOT NULL,
    term_taxonomy_id bigint NOT NULL,
    PRIMARY KEY (object_id, term_taxonomy_id)
);
CREATE TABLE wp_options (
    option_id bigserial PRIMARY KEY,
    option_name varchar(191) UNIQUE,
    option_value text NOT NULL
);
