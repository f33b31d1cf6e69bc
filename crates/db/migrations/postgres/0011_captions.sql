-- Jobs that wait for room, presets of single files, and captions that are added to assets.

-- Tries that found no room on a disk: they do not count.
ALTER TABLE jobs ADD COLUMN waits BIGINT NOT NULL DEFAULT 0;

-- How its asset is to be made, if not as the bucket says.
ALTER TABLE arrivals ADD COLUMN preset TEXT COLLATE "C";

-- Captions beside those of the file, as WebVTT.
CREATE TABLE asset_captions (
    asset_id   TEXT COLLATE "C"    NOT NULL REFERENCES assets (id) ON DELETE CASCADE,
    language   TEXT COLLATE "C"    NOT NULL,
    label      TEXT COLLATE "C"    NOT NULL,
    preferred  BIGINT NOT NULL,
    forced     BIGINT NOT NULL,
    -- Part of the names of its objects: by its content.
    mark       TEXT COLLATE "C"    NOT NULL,
    cues       BIGINT NOT NULL,
    -- The file that it is of, if it came to a bucket.
    object_key TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (asset_id, language)
);
