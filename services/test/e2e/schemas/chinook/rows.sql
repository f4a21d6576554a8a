INSERT INTO artist SELECT i, 'Artist ' || i FROM generate_series(1, 9) i;
INSERT INTO genre VALUES (1, 'Rock'), (2, 'Jazz'), (3, 'Bossa Nova');
INSERT INTO media_type VALUES (1, 'MPEG audio file'), (2, 'AAC audio file');
INSERT INTO album
    SELECT i, 'Album ' || i, 1 + i % 9 FROM generate_series(1, current_setting('fixture.size')::int) i;
INSERT INTO track
    SELECT 10 * a + i, 'Track ' || i || ' of ' || a, a, 1 + i % 2,
        CASE WHEN (a + i) % 5 <> 0 THEN 1 + (a + i) % 3 END,
        CASE WHEN i <> 2 THEN 'Composer ' || a % 11 END, -- NULL: unknown, so not in the metadata
        0.99 + (a % 3)
    FROM generate_series(1, current_setting('fixture.size')::int) a, generate_series(1, 3) i;
