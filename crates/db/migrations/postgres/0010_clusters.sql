-- Clusters: the same live stream in several regions, and which of them are open.

CREATE TABLE clusters (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name            TEXT COLLATE "C" NOT NULL UNIQUE,
    -- JSON of the model's `Cluster`, with the tokens of peers.
    definition      TEXT COLLATE "C" NOT NULL,
    created_at      BIGINT           NOT NULL,
    updated_at      BIGINT           NOT NULL,
    idempotency_key TEXT COLLATE "C" UNIQUE,
    request_hash    BYTEA
);

-- The newest word of each voice on each region.
CREATE TABLE cluster_registers (
    cluster_id TEXT COLLATE "C" NOT NULL REFERENCES clusters (id) ON DELETE CASCADE,
    region     TEXT COLLATE "C" NOT NULL,
    -- `operator` or `automat`.
    voice      TEXT COLLATE "C" NOT NULL,
    -- JSON of the model's `Register`.
    register   TEXT COLLATE "C" NOT NULL,
    updated_at BIGINT           NOT NULL,
    PRIMARY KEY (cluster_id, region, voice)
);

-- The last vote of each watcher on each region that said something else than the one before.
CREATE TABLE cluster_votes (
    cluster_id TEXT COLLATE "C" NOT NULL REFERENCES clusters (id) ON DELETE CASCADE,
    region     TEXT COLLATE "C" NOT NULL,
    watcher    TEXT COLLATE "C" NOT NULL,
    -- JSON of the model's `VoteOf`.
    vote       TEXT COLLATE "C" NOT NULL,
    heard_at   BIGINT           NOT NULL,
    PRIMARY KEY (cluster_id, region, watcher)
);

CREATE TABLE cluster_history (
    cluster_id TEXT COLLATE "C" NOT NULL REFERENCES clusters (id) ON DELETE CASCADE,
    -- Goes up by one with each entry of the cluster, from 1.
    sequence   BIGINT           NOT NULL,
    -- Names the decision: the same one is written once.
    mark       TEXT COLLATE "C" NOT NULL,
    -- JSON of the model's `HistoryEntry`.
    entry      TEXT COLLATE "C" NOT NULL,
    created_at BIGINT           NOT NULL,
    PRIMARY KEY (cluster_id, sequence),
    UNIQUE (cluster_id, mark)
);
