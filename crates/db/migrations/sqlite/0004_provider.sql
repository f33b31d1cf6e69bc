-- What is wanted and what a provider made of it are rows of their own; every step between them is recorded.

-- Goes up with every change of what is wanted; the snapshot's goes up with what nodes are told.
INSERT INTO meta (key, value) SELECT 'wish_version', value FROM meta WHERE key = 'snapshot_version';

ALTER TABLE channels ADD COLUMN phase TEXT NOT NULL DEFAULT 'active';
-- Goes up with each change of what the pipeline is; and the one that the provider has.
ALTER TABLE channels ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
ALTER TABLE channels ADD COLUMN observed_generation INTEGER NOT NULL DEFAULT 0;

-- The provider's id; NULL while there is nothing at the provider.
ALTER TABLE distributions ADD COLUMN provider_id TEXT;
ALTER TABLE distributions ADD COLUMN phase TEXT NOT NULL DEFAULT 'active';
ALTER TABLE distributions ADD COLUMN observed_generation INTEGER NOT NULL DEFAULT 0;
-- How what the provider has differs from what is wanted, in words.
ALTER TABLE distributions ADD COLUMN drift TEXT;
ALTER TABLE distributions ADD COLUMN last_checked_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE distributions ADD COLUMN tags TEXT NOT NULL DEFAULT '{}';

CREATE INDEX distributions_by_phase ON distributions (phase, created_at, id) WHERE phase <> 'active';
CREATE INDEX distributions_by_check ON distributions (last_checked_at, id);

-- What had to be repaired when it started, in words.
ALTER TABLE breakouts ADD COLUMN notice TEXT;

CREATE TABLE operations (
    id          TEXT    NOT NULL PRIMARY KEY,
    -- Operations are worked on in this order.
    number      INTEGER NOT NULL UNIQUE,
    kind        TEXT    NOT NULL,
    -- Id of the channel, distribution or breakout that it is about.
    subject     TEXT    NOT NULL,
    -- Operations of one lane run one at a time: the id of the channel, or of a distribution of its own.
    lane        TEXT    NOT NULL,
    state       TEXT    NOT NULL,
    -- Place of the step that is next or under way.
    step        INTEGER NOT NULL DEFAULT 0,
    attempts    INTEGER NOT NULL DEFAULT 0,
    problem     TEXT,
    waiting_for TEXT,
    next_try_at INTEGER NOT NULL DEFAULT 0,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    finished_at INTEGER
) STRICT;

CREATE INDEX operations_unfinished ON operations (number) WHERE finished_at IS NULL;
CREATE INDEX operations_by_subject ON operations (subject, number);
CREATE INDEX operations_by_lane ON operations (lane) WHERE finished_at IS NULL;
CREATE INDEX operations_finished ON operations (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE operation_steps (
    operation_id TEXT    NOT NULL REFERENCES operations (id) ON DELETE CASCADE,
    place        INTEGER NOT NULL,
    name         TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    -- What it found or repaired, in words.
    note         TEXT,
    begun_at     INTEGER,
    ended_at     INTEGER,
    PRIMARY KEY (operation_id, place)
) STRICT;

-- Resources at the provider that no row knows, since when.
CREATE TABLE orphans (
    kind    TEXT    NOT NULL,
    id      TEXT    NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT;

-- The local provider's own: what the data plane is told.

CREATE TABLE local_pipelines (
    id              TEXT    NOT NULL PRIMARY KEY,
    -- What ingest and packager are told, as JSON.
    spec            TEXT    NOT NULL,
    tags            TEXT    NOT NULL,
    running         INTEGER NOT NULL,
    session         TEXT,
    chosen          TEXT,
    changed_version INTEGER NOT NULL,
    created_at      INTEGER NOT NULL
) STRICT;

CREATE TABLE local_distributions (
    id                    TEXT    NOT NULL PRIMARY KEY,
    reference             TEXT    NOT NULL UNIQUE,
    -- The configuration that it was made with, and the one that it has.
    given                 TEXT    NOT NULL,
    config                TEXT    NOT NULL,
    revision              INTEGER NOT NULL,
    domain                TEXT    NOT NULL UNIQUE,
    enabled               INTEGER NOT NULL,
    tags                  TEXT    NOT NULL,
    changed_version       INTEGER NOT NULL,
    invalidation_sequence INTEGER NOT NULL DEFAULT 0,
    invalidation_floor    INTEGER NOT NULL DEFAULT 0,
    created_at            INTEGER NOT NULL
) STRICT;

CREATE TABLE local_invalidations (
    id              TEXT    NOT NULL PRIMARY KEY,
    distribution_id TEXT    NOT NULL REFERENCES local_distributions (id) ON DELETE CASCADE,
    sequence        INTEGER NOT NULL,
    reference       TEXT    NOT NULL,
    paths           TEXT    NOT NULL,
    tags            TEXT    NOT NULL,
    patterns        INTEGER NOT NULL,
    changed_version INTEGER NOT NULL,
    UNIQUE (distribution_id, sequence),
    UNIQUE (distribution_id, reference)
) STRICT;

-- Traffic by minutes since the Unix epoch.
CREATE TABLE local_traffic (
    distribution_id TEXT    NOT NULL,
    minute          INTEGER NOT NULL,
    requests        INTEGER NOT NULL,
    bytes           INTEGER NOT NULL,
    PRIMARY KEY (distribution_id, minute)
) STRICT;

CREATE INDEX local_traffic_by_minute ON local_traffic (minute);

-- Everything that there was has been told to nodes.

INSERT INTO local_pipelines (id, spec, tags, running, session, changed_version, created_at)
SELECT c.id,
       json_object('id', c.id, 'name', c.name, 'running', json('false'),
                   'segment_target_seconds', c.segment_target_seconds, 'window_seconds', c.window_seconds,
                   'inputs', (SELECT json_group_array(json_object('id', i.id, 'stream_key', i.stream_key) ORDER BY i.position)
                              FROM inputs i WHERE i.channel_id = c.id)),
       '{}',
       c.desired_running OR EXISTS (SELECT 1 FROM breakouts b WHERE b.channel_id = c.id AND b.state IN ('STARTING', 'RUNNING')),
       (SELECT b.id FROM breakouts b WHERE b.channel_id = c.id AND b.state IN ('STARTING', 'RUNNING')),
       c.changed_version, c.created_at
FROM channels c;

-- An empty configuration is a channel's own from before configurations were kept: the control plane fills it in.
INSERT INTO local_distributions (id, reference, given, config, revision, domain, enabled, tags, changed_version,
                                 invalidation_sequence, invalidation_floor, created_at)
SELECT id, caller_reference, COALESCE(config, ''), COALESCE(config, ''), generation, domain_name, enabled, '{}',
       changed_version, invalidation_sequence, invalidation_floor, created_at
FROM distributions;

INSERT INTO local_invalidations (id, distribution_id, sequence, reference, paths, tags, patterns, changed_version)
SELECT id, distribution_id, sequence, caller_reference, paths, tags, patterns, changed_version FROM invalidations;

ALTER TABLE invalidations ADD COLUMN provider_id TEXT;
UPDATE invalidations SET provider_id = id;
UPDATE channels SET observed_generation = generation;
UPDATE distributions SET observed_generation = generation, provider_id = id;
