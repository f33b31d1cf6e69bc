-- Buckets, what arrives in them, the assets that are made of it, collections of those, and who may bring and fetch files.

CREATE TABLE buckets (
    name            TEXT    NOT NULL PRIMARY KEY,
    -- How assets are made of what arrives; none: files only lie there.
    preset          TEXT,
    -- Whether an asset goes when its file is replaced or removed.
    mirror          INTEGER NOT NULL DEFAULT 0,
    -- Made by the system, and kept.
    house           INTEGER NOT NULL DEFAULT 0,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    idempotency_key TEXT UNIQUE,
    request_hash    BLOB
) STRICT;

CREATE TABLE assets (
    -- By the content of its file.
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    bucket     TEXT    NOT NULL REFERENCES buckets (name),
    object_key TEXT    NOT NULL,
    size       INTEGER NOT NULL,
    preset     TEXT    NOT NULL,
    state      TEXT    NOT NULL,
    -- Goes up each time it is made again.
    generation INTEGER NOT NULL DEFAULT 1,
    -- What is in the file and what was made of it, as JSON.
    report     TEXT    NOT NULL DEFAULT '{}',
    playable   INTEGER NOT NULL DEFAULT 0,
    problem    TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    ready_at   INTEGER
) STRICT;

CREATE INDEX assets_by_time ON assets (created_at, id);

-- Each object of a bucket with a preset, and the asset it has become.
CREATE TABLE arrivals (
    bucket     TEXT    NOT NULL REFERENCES buckets (name) ON DELETE CASCADE,
    object_key TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    size       INTEGER NOT NULL,
    -- `WAITING`, `KNOWN` or `FAILED`.
    state      TEXT    NOT NULL,
    asset_id   TEXT,
    problem    TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (bucket, object_key)
) STRICT;

CREATE INDEX arrivals_by_asset ON arrivals (asset_id);

CREATE TABLE collections (
    id              TEXT    NOT NULL PRIMARY KEY,
    name            TEXT    NOT NULL UNIQUE,
    description     TEXT    NOT NULL,
    -- Whether every user may watch.
    everyone        INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    idempotency_key TEXT UNIQUE,
    request_hash    BLOB
) STRICT;

CREATE TABLE collection_assets (
    collection_id TEXT    NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    place         INTEGER NOT NULL,
    asset_id      TEXT    NOT NULL REFERENCES assets (id) ON DELETE CASCADE,
    PRIMARY KEY (collection_id, asset_id)
) STRICT;

CREATE INDEX collection_assets_by_asset ON collection_assets (asset_id);

CREATE TABLE collection_viewers (
    collection_id TEXT NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    user_name     TEXT NOT NULL,
    PRIMARY KEY (collection_id, user_name)
) STRICT;

CREATE TABLE access_keys (
    id              TEXT    NOT NULL PRIMARY KEY,
    name            TEXT    NOT NULL,
    secret          TEXT    NOT NULL,
    -- Names as a JSON array; none stands for every bucket that is not the system's.
    buckets         TEXT    NOT NULL,
    may_write       INTEGER NOT NULL,
    created_at      INTEGER NOT NULL
) STRICT;

CREATE TABLE uploads (
    id           TEXT    NOT NULL PRIMARY KEY,
    bucket       TEXT    NOT NULL REFERENCES buckets (name),
    object_key   TEXT    NOT NULL,
    -- None until it is told.
    size         INTEGER,
    metadata     TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL
) STRICT;

CREATE INDEX uploads_by_end ON uploads (expires_at);
