-- What is wanted and what a provider made of it are rows of their own; every step between them is recorded.

-- Goes up with every change of what is wanted; the snapshot's goes up with what nodes are told.
INSERT INTO meta (key, value) SELECT 'wish_version', value FROM meta WHERE key = 'snapshot_version';

ALTER TABLE channels ADD COLUMN phase TEXT COLLATE "C" NOT NULL DEFAULT 'active';
-- Goes up with each change of what the pipeline is; and the one that the provider has.
ALTER TABLE channels ADD COLUMN generation BIGINT NOT NULL DEFAULT 1;
ALTER TABLE channels ADD COLUMN observed_generation BIGINT NOT NULL DEFAULT 0;

-- The provider's id; NULL while there is nothing at the provider.
ALTER TABLE distributions ADD COLUMN provider_id TEXT COLLATE "C";
ALTER TABLE distributions ADD COLUMN phase TEXT COLLATE "C" NOT NULL DEFAULT 'active';
ALTER TABLE distributions ADD COLUMN observed_generation BIGINT NOT NULL DEFAULT 0;
-- How what the provider has differs from what is wanted, in words.
ALTER TABLE distributions ADD COLUMN drift TEXT COLLATE "C";
ALTER TABLE distributions ADD COLUMN last_checked_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE distributions ADD COLUMN tags TEXT COLLATE "C" NOT NULL DEFAULT '{}';

CREATE INDEX distributions_by_phase ON distributions (phase, created_at, id) WHERE phase <> 'active';
CREATE INDEX distributions_by_check ON distributions (last_checked_at, id);

-- What had to be repaired when it started, in words.
ALTER TABLE breakouts ADD COLUMN notice TEXT COLLATE "C";

CREATE TABLE operations (
    id          TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    -- Operations are worked on in this order.
    number      BIGINT NOT NULL UNIQUE,
    kind        TEXT COLLATE "C"    NOT NULL,
    -- Id of the channel, distribution or breakout that it is about.
    subject     TEXT COLLATE "C"    NOT NULL,
    -- Operations of one lane run one at a time: the id of the channel, or of a distribution of its own.
    lane        TEXT COLLATE "C"    NOT NULL,
    state       TEXT COLLATE "C"    NOT NULL,
    -- Place of the step that is next or under way.
    step        BIGINT NOT NULL DEFAULT 0,
    attempts    BIGINT NOT NULL DEFAULT 0,
    problem     TEXT COLLATE "C",
    waiting_for TEXT COLLATE "C",
    next_try_at BIGINT NOT NULL DEFAULT 0,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    finished_at BIGINT
);

CREATE INDEX operations_unfinished ON operations (number) WHERE finished_at IS NULL;
CREATE INDEX operations_by_subject ON operations (subject, number);
CREATE INDEX operations_by_lane ON operations (lane) WHERE finished_at IS NULL;
CREATE INDEX operations_finished ON operations (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE operation_steps (
    operation_id TEXT COLLATE "C"    NOT NULL REFERENCES operations (id) ON DELETE CASCADE,
    place        BIGINT NOT NULL,
    name         TEXT COLLATE "C"    NOT NULL,
    state        TEXT COLLATE "C"    NOT NULL,
    attempts     BIGINT NOT NULL DEFAULT 0,
    -- What it found or repaired, in words.
    note         TEXT COLLATE "C",
    begun_at     BIGINT,
    ended_at     BIGINT,
    PRIMARY KEY (operation_id, place)
);

-- Resources at the provider that no row knows, since when.
CREATE TABLE orphans (
    kind    TEXT COLLATE "C"    NOT NULL,
    id      TEXT COLLATE "C"    NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (kind, id)
);

-- The local provider's own: what the data plane is told.

CREATE TABLE local_pipelines (
    id              TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    -- What ingest and packager are told, as JSON.
    spec            TEXT COLLATE "C"    NOT NULL,
    tags            TEXT COLLATE "C"    NOT NULL,
    running         BIGINT NOT NULL,
    session         TEXT COLLATE "C",
    chosen          TEXT COLLATE "C",
    changed_version BIGINT NOT NULL,
    created_at      BIGINT NOT NULL
);

CREATE TABLE local_distributions (
    id                    TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    reference             TEXT COLLATE "C"    NOT NULL UNIQUE,
    -- The configuration that it was made with, and the one that it has.
    given                 TEXT COLLATE "C"    NOT NULL,
    config                TEXT COLLATE "C"    NOT NULL,
    revision              BIGINT NOT NULL,
    domain                TEXT COLLATE "C"    NOT NULL UNIQUE,
    enabled               BIGINT NOT NULL,
    tags                  TEXT COLLATE "C"    NOT NULL,
    changed_version       BIGINT NOT NULL,
    invalidation_sequence BIGINT NOT NULL DEFAULT 0,
    invalidation_floor    BIGINT NOT NULL DEFAULT 0,
    created_at            BIGINT NOT NULL
);

CREATE TABLE local_invalidations (
    id              TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    distribution_id TEXT COLLATE "C"    NOT NULL REFERENCES local_distributions (id) ON DELETE CASCADE,
    sequence        BIGINT NOT NULL,
    reference       TEXT COLLATE "C"    NOT NULL,
    paths           TEXT COLLATE "C"    NOT NULL,
    tags            TEXT COLLATE "C"    NOT NULL,
    patterns        BIGINT NOT NULL,
    changed_version BIGINT NOT NULL,
    UNIQUE (distribution_id, sequence),
    UNIQUE (distribution_id, reference)
);

-- Traffic by minutes since the Unix epoch.
CREATE TABLE local_traffic (
    distribution_id TEXT COLLATE "C"    NOT NULL,
    minute          BIGINT NOT NULL,
    requests        BIGINT NOT NULL,
    bytes           BIGINT NOT NULL,
    PRIMARY KEY (distribution_id, minute)
);

CREATE INDEX local_traffic_by_minute ON local_traffic (minute);

-- PostgreSQL came with this version: there is nothing to take over.

ALTER TABLE invalidations ADD COLUMN provider_id TEXT COLLATE "C";
