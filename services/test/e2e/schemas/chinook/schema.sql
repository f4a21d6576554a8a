-- A shop for music: albums are products and tracks are their prices. The ids in Stripe have a prefix, because integers
-- of two tables would meet there.
CREATE TABLE artist (artist_id int PRIMARY KEY, name varchar(120));
CREATE TABLE genre (genre_id int PRIMARY KEY, name varchar(120));
CREATE TABLE media_type (media_type_id int PRIMARY KEY, name varchar(120));
CREATE TABLE album (
    album_id int PRIMARY KEY,
    title varchar(160) NOT NULL,
    artist_id int NOT NULL REFERENCES artist
);
CREATE TABLE track (
    track_id int PRIMARY KEY,
    name varchar(200) NOT NULL,
    album_id int REFERENCES album,
    media_type_id int NOT NULL REFERENCES media_type,
    genre_id int REFERENCES genre,
    composer varchar(220),
    unit_price numeric(10, 2) NOT NULL
);
-- A track that is deleted or moves has to say which album it belonged to.
ALTER TABLE track REPLICA IDENTITY FULL;
CREATE TABLE playlist_track (
    playlist_id int,
    track_id int REFERENCES track ON DELETE CASCADE,
    PRIMARY KEY (playlist_id, track_id)
);
