-- Control-plane tables, as those of SQLite. Every text is ordered by its bytes (COLLATE "C"), as SQLite does, whatever the database's locale.

CREATE TABLE meta (
    key   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value BIGINT           NOT NULL
);

INSERT INTO meta (key, value) VALUES ('snapshot_version', 1);

CREATE TABLE tokens (
    hash       BYTEA            NOT NULL PRIMARY KEY,
    name       TEXT COLLATE "C" NOT NULL,
    created_at BIGINT           NOT NULL
);

CREATE TABLE key_groups (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name            TEXT COLLATE "C" NOT NULL UNIQUE,
    created_at      BIGINT           NOT NULL,
    idempotency_key TEXT COLLATE "C" UNIQUE,
    request_hash    BYTEA
);

CREATE TABLE keys (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name            TEXT COLLATE "C" NOT NULL UNIQUE,
    private_pem     TEXT COLLATE "C",
    public_pem      TEXT COLLATE "C" NOT NULL,
    created_at      BIGINT           NOT NULL,
    idempotency_key TEXT COLLATE "C" UNIQUE,
    request_hash    BYTEA
);

CREATE TABLE channels (
    id                     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name                   TEXT COLLATE "C" NOT NULL UNIQUE,
    description            TEXT COLLATE "C" NOT NULL,
    desired_running        BIGINT           NOT NULL,
    state                  TEXT COLLATE "C" NOT NULL,
    -- Snapshot version whose application by the data plane confirms the state.
    changed_version        BIGINT           NOT NULL,
    segment_target_seconds BIGINT           NOT NULL,
    window_seconds         BIGINT           NOT NULL,
    problem                TEXT COLLATE "C",
    created_at             BIGINT           NOT NULL,
    updated_at             BIGINT           NOT NULL,
    idempotency_key        TEXT COLLATE "C" UNIQUE,
    request_hash           BYTEA
);

CREATE TABLE inputs (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    channel_id TEXT COLLATE "C" NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    position   BIGINT           NOT NULL,
    stream_key TEXT COLLATE "C" NOT NULL UNIQUE,
    UNIQUE (channel_id, position)
);

CREATE TABLE distributions (
    id                    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- The channel that it was made with and goes with; none for a distribution of its own.
    channel_id            TEXT COLLATE "C" UNIQUE REFERENCES channels (id) ON DELETE CASCADE,
    -- DistributionConfig as JSON.
    config                TEXT COLLATE "C",
    caller_reference      TEXT COLLATE "C" NOT NULL UNIQUE,
    -- Goes up with each change of the configuration; what the ETag is made of.
    generation            BIGINT           NOT NULL DEFAULT 1,
    domain_name           TEXT COLLATE "C" NOT NULL UNIQUE,
    enabled               BIGINT           NOT NULL,
    price_class           TEXT COLLATE "C" NOT NULL,
    status                TEXT COLLATE "C" NOT NULL,
    changed_version       BIGINT           NOT NULL,
    -- Of the newest invalidation, and of the newest that edges are no longer told of.
    invalidation_sequence BIGINT           NOT NULL DEFAULT 0,
    invalidation_floor    BIGINT           NOT NULL DEFAULT 0,
    requests_total        BIGINT           NOT NULL DEFAULT 0,
    bytes_total           BIGINT           NOT NULL DEFAULT 0,
    created_at            BIGINT           NOT NULL,
    updated_at            BIGINT           NOT NULL,
    idempotency_key       TEXT COLLATE "C" UNIQUE,
    request_hash          BYTEA
);

CREATE TABLE breakouts (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name            TEXT COLLATE "C" NOT NULL UNIQUE,
    channel_id      TEXT COLLATE "C" NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    state           TEXT COLLATE "C" NOT NULL,
    changed_version BIGINT           NOT NULL,
    problem         TEXT COLLATE "C",
    started_at      BIGINT,
    ended_at        BIGINT,
    created_at      BIGINT           NOT NULL,
    updated_at      BIGINT           NOT NULL,
    idempotency_key TEXT COLLATE "C" UNIQUE,
    request_hash    BYTEA
);

CREATE INDEX breakouts_by_channel ON breakouts (channel_id);

-- One breakout of a channel on air at a time, whatever the code above believes.
CREATE UNIQUE INDEX breakouts_on_air ON breakouts (channel_id) WHERE state IN ('STARTING', 'RUNNING');
