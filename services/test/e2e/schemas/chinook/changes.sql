-- change: an album is renamed, and a track costs more
UPDATE album SET title = 'Album 1 (remastered)' WHERE album_id = 1;
UPDATE track SET unit_price = 1.49 WHERE track_id = 11;

-- change: an artist of many albums is renamed
UPDATE artist SET name = 'The Artist' WHERE artist_id = 3;

-- change: a genre of many tracks is renamed
UPDATE genre SET name = 'Rock and Roll' WHERE genre_id = 1;

-- change: all prices rise by a tenth in one statement
UPDATE track SET unit_price = unit_price * 1.1;

-- change: a composer becomes known, and another is unknown again
UPDATE track SET composer = 'Somebody' WHERE track_id = 22;
UPDATE track SET composer = NULL WHERE track_id = 21;

-- change: a track moves to another album
UPDATE track SET album_id = 5 WHERE track_id = 41;

-- change: an album moves to another artist
UPDATE album SET artist_id = 9 WHERE album_id = 6;

-- change: a track is deleted
CREATE TABLE deleted_track AS SELECT * FROM track WHERE track_id = 71;
DELETE FROM track WHERE track_id = 71;

-- change: and comes back
INSERT INTO track SELECT * FROM deleted_track;

-- change: an album is deleted with its tracks in one transaction
CREATE TABLE deleted_album AS SELECT * FROM album WHERE album_id = 8;
CREATE TABLE deleted_tracks AS SELECT * FROM track WHERE album_id = 8;
DELETE FROM track WHERE album_id = 8;
DELETE FROM album WHERE album_id = 8;

-- change: and comes back with them
INSERT INTO album SELECT * FROM deleted_album;
INSERT INTO track SELECT * FROM deleted_tracks;

-- change: a new album of a new artist
INSERT INTO artist VALUES (100, 'Artist 100');
INSERT INTO album VALUES (10001, 'First Album', 100);
INSERT INTO track VALUES (100011, 'First Track', 10001, 1, 2, 'Composer', 0.99);

-- change: a track leaves its album and belongs to none
UPDATE track SET album_id = NULL WHERE track_id = 91;

-- change: tracks of no album
-- expects: nothing
INSERT INTO track SELECT 1000000 + i, 'Loose track ' || i, NULL, 1, NULL, NULL, 0.99 FROM generate_series(1, 20000) i;

-- change: playlists
-- expects: nothing
INSERT INTO playlist_track SELECT 1, track_id FROM track WHERE album_id IS NOT NULL;

-- change: a format is renamed, in a table that is not watched
-- expects: reread
UPDATE media_type SET name = 'MP3' WHERE media_type_id = 1;
