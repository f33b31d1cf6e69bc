-- Control-plane tables. Times are milliseconds since the Unix epoch. Wishes (desired_running) and facts (state) are separate columns.

CREATE TABLE meta (
    key   TEXT    NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;

INSERT INTO meta (key, value) VALUES ('snapshot_version', 1);

CREATE TABLE tokens (
    hash       BLOB    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE key_groups (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE keys (
    id              TEXT    NOT NULL PRIMARY KEY,
    group_id        TEXT    NOT NULL REFERENCES key_groups (id),
    name            TEXT    NOT NULL UNIQUE,
    private_pem     TEXT,
    public_pem      TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    idempotency_key TEXT UNIQUE,
    request_hash    BLOB
) STRICT;

CREATE INDEX keys_by_group ON keys (group_id);

CREATE TABLE channels (
    id                     TEXT    NOT NULL PRIMARY KEY,
    name                   TEXT    NOT NULL UNIQUE,
    description            TEXT    NOT NULL,
    desired_running        INTEGER NOT NULL,
    state                  TEXT    NOT NULL,
    -- Snapshot version whose application by the data plane confirms the state.
    changed_version        INTEGER NOT NULL,
    segment_target_seconds INTEGER NOT NULL,
    window_seconds         INTEGER NOT NULL,
    problem                TEXT,
    created_at             INTEGER NOT NULL,
    updated_at             INTEGER NOT NULL,
    idempotency_key        TEXT UNIQUE,
    request_hash           BLOB
) STRICT;

CREATE TABLE inputs (
    id         TEXT    NOT NULL PRIMARY KEY,
    channel_id TEXT    NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    position   INTEGER NOT NULL,
    stream_key TEXT    NOT NULL UNIQUE,
    UNIQUE (channel_id, position)
) STRICT;

CREATE TABLE distributions (
    id              TEXT    NOT NULL PRIMARY KEY,
    channel_id      TEXT    NOT NULL UNIQUE REFERENCES channels (id) ON DELETE CASCADE,
    key_group_id    TEXT    NOT NULL REFERENCES key_groups (id),
    domain_name     TEXT    NOT NULL UNIQUE,
    aliases         TEXT    NOT NULL,
    enabled         INTEGER NOT NULL,
    price_class     TEXT    NOT NULL,
    status          TEXT    NOT NULL,
    changed_version INTEGER NOT NULL,
    requests_total  INTEGER NOT NULL DEFAULT 0,
    bytes_total     INTEGER NOT NULL DEFAULT 0,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT;

CREATE TABLE breakouts (
    id              TEXT    NOT NULL PRIMARY KEY,
    name            TEXT    NOT NULL UNIQUE,
    channel_id      TEXT    NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    state           TEXT    NOT NULL,
    changed_version INTEGER NOT NULL,
    problem         TEXT,
    started_at      INTEGER,
    ended_at        INTEGER,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    idempotency_key TEXT UNIQUE,
    request_hash    BLOB
) STRICT;

CREATE INDEX breakouts_by_channel ON breakouts (channel_id);

-- One breakout of a channel on air at a time, whatever the code above believes.
CREATE UNIQUE INDEX breakouts_on_air ON breakouts (channel_id) WHERE state IN ('STARTING', 'RUNNING');
