-- Buckets, what arrives in them, the assets that are made of it, collections of those, and who may bring and fetch files.

CREATE TABLE buckets (
    name            TEXT COLLATE "C"    NOT NULL CONSTRAINT buckets_name_key PRIMARY KEY,
    -- How assets are made of what arrives; none: files only lie there.
    preset          TEXT COLLATE "C",
    -- Whether an asset goes when its file is replaced or removed.
    mirror          BIGINT NOT NULL DEFAULT 0,
    -- Made by the system, and kept.
    house           BIGINT NOT NULL DEFAULT 0,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    idempotency_key TEXT COLLATE "C" UNIQUE,
    request_hash    BYTEA
);

CREATE TABLE assets (
    -- By the content of its file.
    id         TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    name       TEXT COLLATE "C"    NOT NULL,
    bucket     TEXT COLLATE "C"    NOT NULL REFERENCES buckets (name),
    object_key TEXT COLLATE "C"    NOT NULL,
    size       BIGINT NOT NULL,
    preset     TEXT COLLATE "C"    NOT NULL,
    state      TEXT COLLATE "C"    NOT NULL,
    -- Goes up each time it is made again.
    generation BIGINT NOT NULL DEFAULT 1,
    -- What is in the file and what was made of it, as JSON.
    report     TEXT COLLATE "C"    NOT NULL DEFAULT '{}',
    playable   BIGINT NOT NULL DEFAULT 0,
    problem    TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    ready_at   BIGINT
);

CREATE INDEX assets_by_time ON assets (created_at, id);

-- Each object of a bucket with a preset, and the asset it has become.
CREATE TABLE arrivals (
    bucket     TEXT COLLATE "C"    NOT NULL REFERENCES buckets (name) ON DELETE CASCADE,
    object_key TEXT COLLATE "C"    NOT NULL,
    version    TEXT COLLATE "C"    NOT NULL,
    size       BIGINT NOT NULL,
    -- `WAITING`, `KNOWN` or `FAILED`.
    state      TEXT COLLATE "C"    NOT NULL,
    asset_id   TEXT COLLATE "C",
    problem    TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (bucket, object_key)
);

CREATE INDEX arrivals_by_asset ON arrivals (asset_id);

CREATE TABLE collections (
    id              TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    name            TEXT COLLATE "C"    NOT NULL UNIQUE,
    description     TEXT COLLATE "C"    NOT NULL,
    -- Whether every user may watch.
    everyone        BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    idempotency_key TEXT COLLATE "C" UNIQUE,
    request_hash    BYTEA
);

CREATE TABLE collection_assets (
    collection_id TEXT COLLATE "C"    NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    place         BIGINT NOT NULL,
    asset_id      TEXT COLLATE "C"    NOT NULL REFERENCES assets (id) ON DELETE CASCADE,
    PRIMARY KEY (collection_id, asset_id)
);

CREATE INDEX collection_assets_by_asset ON collection_assets (asset_id);

CREATE TABLE collection_viewers (
    collection_id TEXT COLLATE "C" NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    user_name     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (collection_id, user_name)
);

CREATE TABLE access_keys (
    id              TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    name            TEXT COLLATE "C"    NOT NULL,
    secret          TEXT COLLATE "C"    NOT NULL,
    -- Names as a JSON array; none stands for every bucket that is not the system's.
    buckets         TEXT COLLATE "C"    NOT NULL,
    may_write       BIGINT NOT NULL,
    created_at      BIGINT NOT NULL
);

CREATE TABLE uploads (
    id           TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    bucket       TEXT COLLATE "C"    NOT NULL REFERENCES buckets (name),
    object_key   TEXT COLLATE "C"    NOT NULL,
    -- None until it is told.
    size         BIGINT,
    metadata     TEXT COLLATE "C"    NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);

CREATE INDEX uploads_by_end ON uploads (expires_at);
