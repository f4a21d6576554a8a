-- The least that Driftless needs, run by the tables' owner.
CREATE ROLE vendure_driftless LOGIN REPLICATION PASSWORD 'secret';
GRANT USAGE ON SCHEMA public TO vendure_driftless;
GRANT SELECT ON product, product_translation, product_variant, product_variant_translation, product_variant_price, channel,
    tax_category TO vendure_driftless;
CREATE PUBLICATION driftless FOR TABLE product, product_translation, product_variant, product_variant_translation,
    product_variant_price, channel WITH (publish_via_partition_root = true);
