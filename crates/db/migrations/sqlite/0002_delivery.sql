-- Distributions of their own by CloudFront's configuration, keys in several groups, invalidations.

ALTER TABLE keys RENAME TO keys_old;

CREATE TABLE keys (
    id              TEXT    NOT NULL PRIMARY KEY,
    name            TEXT    NOT NULL UNIQUE,
    private_pem     TEXT,
    public_pem      TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    idempotency_key TEXT UNIQUE,
    request_hash    BLOB
) STRICT;

INSERT INTO keys (id, name, private_pem, public_pem, created_at, idempotency_key, request_hash)
SELECT id, name, private_pem, public_pem, created_at, idempotency_key, request_hash FROM keys_old;

CREATE TABLE key_group_members (
    group_id TEXT NOT NULL REFERENCES key_groups (id) ON DELETE CASCADE,
    key_id   TEXT NOT NULL REFERENCES keys (id),
    PRIMARY KEY (group_id, key_id)
) STRICT;

CREATE INDEX key_group_members_by_key ON key_group_members (key_id);

INSERT INTO key_group_members (group_id, key_id) SELECT group_id, id FROM keys_old;

DROP TABLE keys_old;

ALTER TABLE key_groups ADD COLUMN idempotency_key TEXT;
ALTER TABLE key_groups ADD COLUMN request_hash BLOB;
CREATE UNIQUE INDEX key_groups_by_idempotency_key ON key_groups (idempotency_key);

ALTER TABLE distributions RENAME TO distributions_old;

CREATE TABLE distributions (
    id                    TEXT    NOT NULL PRIMARY KEY,
    -- The channel that it was made with and goes with; none for a distribution of its own.
    channel_id            TEXT UNIQUE REFERENCES channels (id) ON DELETE CASCADE,
    -- DistributionConfig as JSON. NULL: a channel's own that nobody has changed since before there were any.
    config                TEXT,
    caller_reference      TEXT    NOT NULL UNIQUE,
    -- Goes up with each change of the configuration; what the ETag is made of.
    generation            INTEGER NOT NULL DEFAULT 1,
    domain_name           TEXT    NOT NULL UNIQUE,
    enabled               INTEGER NOT NULL,
    price_class           TEXT    NOT NULL,
    status                TEXT    NOT NULL,
    changed_version       INTEGER NOT NULL,
    -- Of the newest invalidation, and of the newest that edges are no longer told of.
    invalidation_sequence INTEGER NOT NULL DEFAULT 0,
    invalidation_floor    INTEGER NOT NULL DEFAULT 0,
    requests_total        INTEGER NOT NULL DEFAULT 0,
    bytes_total           INTEGER NOT NULL DEFAULT 0,
    created_at            INTEGER NOT NULL,
    updated_at            INTEGER NOT NULL,
    idempotency_key       TEXT UNIQUE,
    request_hash          BLOB
) STRICT;

INSERT INTO distributions (id, channel_id, caller_reference, domain_name, enabled, price_class, status, changed_version,
                           requests_total, bytes_total, created_at, updated_at)
-- Edges were told of every one as of the widest class.
SELECT id, channel_id, id, domain_name, enabled, 'PriceClass_All', status, changed_version,
       requests_total, bytes_total, created_at, updated_at
FROM distributions_old;

CREATE TABLE distribution_aliases (
    alias           TEXT    NOT NULL PRIMARY KEY,
    distribution_id TEXT    NOT NULL REFERENCES distributions (id) ON DELETE CASCADE,
    position        INTEGER NOT NULL
) STRICT;

CREATE INDEX distribution_aliases_by_distribution ON distribution_aliases (distribution_id);

CREATE TABLE distribution_key_groups (
    distribution_id TEXT    NOT NULL REFERENCES distributions (id) ON DELETE CASCADE,
    group_id        TEXT    NOT NULL REFERENCES key_groups (id),
    position        INTEGER NOT NULL,
    PRIMARY KEY (distribution_id, group_id)
) STRICT;

CREATE INDEX distribution_key_groups_by_group ON distribution_key_groups (group_id);

INSERT INTO distribution_key_groups (distribution_id, group_id, position) SELECT id, key_group_id, 0 FROM distributions_old;

DROP TABLE distributions_old;

CREATE TABLE invalidations (
    id               TEXT    NOT NULL PRIMARY KEY,
    distribution_id  TEXT    NOT NULL REFERENCES distributions (id) ON DELETE CASCADE,
    sequence         INTEGER NOT NULL,
    caller_reference TEXT    NOT NULL,
    paths            TEXT    NOT NULL,
    tags             TEXT    NOT NULL,
    -- Paths and tags together.
    patterns         INTEGER NOT NULL,
    state            TEXT    NOT NULL,
    changed_version  INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    completed_at     INTEGER,
    UNIQUE (distribution_id, sequence),
    UNIQUE (distribution_id, caller_reference)
) STRICT;

CREATE INDEX invalidations_in_progress ON invalidations (changed_version) WHERE state = 'InProgress';
