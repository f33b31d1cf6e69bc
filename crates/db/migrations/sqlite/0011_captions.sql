-- Jobs that wait for room, presets of single files, and captions that are added to assets.

-- Tries that found no room on a disk: they do not count.
ALTER TABLE jobs ADD COLUMN waits INTEGER NOT NULL DEFAULT 0;

-- How its asset is to be made, if not as the bucket says.
ALTER TABLE arrivals ADD COLUMN preset TEXT;

-- Captions beside those of the file, as WebVTT.
CREATE TABLE asset_captions (
    asset_id   TEXT    NOT NULL REFERENCES assets (id) ON DELETE CASCADE,
    language   TEXT    NOT NULL,
    label      TEXT    NOT NULL,
    preferred  INTEGER NOT NULL,
    forced     INTEGER NOT NULL,
    -- Part of the names of its objects: by its content.
    mark       TEXT    NOT NULL,
    cues       INTEGER NOT NULL,
    -- The file that it is of, if it came to a bucket.
    object_key TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (asset_id, language)
) STRICT;
