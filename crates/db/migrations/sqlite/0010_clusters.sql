-- Clusters: the same live stream in several regions, and which of them are open.

CREATE TABLE clusters (
    id              TEXT    NOT NULL PRIMARY KEY,
    name            TEXT    NOT NULL UNIQUE,
    -- JSON of the model's `Cluster`, with the tokens of peers.
    definition      TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    idempotency_key TEXT UNIQUE,
    request_hash    BLOB
) STRICT;

-- The newest word of each voice on each region.
CREATE TABLE cluster_registers (
    cluster_id TEXT    NOT NULL REFERENCES clusters (id) ON DELETE CASCADE,
    region     TEXT    NOT NULL,
    -- `operator` or `automat`.
    voice      TEXT    NOT NULL,
    -- JSON of the model's `Register`.
    register   TEXT    NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (cluster_id, region, voice)
) STRICT;

-- The last vote of each watcher on each region that said something else than the one before.
CREATE TABLE cluster_votes (
    cluster_id TEXT    NOT NULL REFERENCES clusters (id) ON DELETE CASCADE,
    region     TEXT    NOT NULL,
    watcher    TEXT    NOT NULL,
    -- JSON of the model's `VoteOf`.
    vote       TEXT    NOT NULL,
    heard_at   INTEGER NOT NULL,
    PRIMARY KEY (cluster_id, region, watcher)
) STRICT;

CREATE TABLE cluster_history (
    cluster_id TEXT    NOT NULL REFERENCES clusters (id) ON DELETE CASCADE,
    -- Goes up by one with each entry of the cluster, from 1.
    sequence   INTEGER NOT NULL,
    -- Names the decision: the same one is written once.
    mark       TEXT    NOT NULL,
    -- JSON of the model's `HistoryEntry`.
    entry      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (cluster_id, sequence),
    UNIQUE (cluster_id, mark)
) STRICT;
