-- What belongs to distributions: aliases, keys in several groups, invalidations.

CREATE TABLE key_group_members (
    group_id TEXT COLLATE "C" NOT NULL REFERENCES key_groups (id) ON DELETE CASCADE,
    key_id   TEXT COLLATE "C" NOT NULL REFERENCES keys (id),
    PRIMARY KEY (group_id, key_id)
);

CREATE INDEX key_group_members_by_key ON key_group_members (key_id);

CREATE TABLE distribution_aliases (
    alias           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    distribution_id TEXT COLLATE "C" NOT NULL REFERENCES distributions (id) ON DELETE CASCADE,
    position        BIGINT           NOT NULL
);

CREATE INDEX distribution_aliases_by_distribution ON distribution_aliases (distribution_id);

CREATE TABLE distribution_key_groups (
    distribution_id TEXT COLLATE "C" NOT NULL REFERENCES distributions (id) ON DELETE CASCADE,
    group_id        TEXT COLLATE "C" NOT NULL REFERENCES key_groups (id),
    position        BIGINT           NOT NULL,
    PRIMARY KEY (distribution_id, group_id)
);

CREATE INDEX distribution_key_groups_by_group ON distribution_key_groups (group_id);

CREATE TABLE invalidations (
    id               TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    distribution_id  TEXT COLLATE "C" NOT NULL REFERENCES distributions (id) ON DELETE CASCADE,
    sequence         BIGINT           NOT NULL,
    caller_reference TEXT COLLATE "C" NOT NULL,
    paths            TEXT COLLATE "C" NOT NULL,
    tags             TEXT COLLATE "C" NOT NULL,
    -- Paths and tags together.
    patterns         BIGINT           NOT NULL,
    state            TEXT COLLATE "C" NOT NULL,
    changed_version  BIGINT           NOT NULL,
    created_at       BIGINT           NOT NULL,
    completed_at     BIGINT,
    UNIQUE (distribution_id, sequence),
    UNIQUE (distribution_id, caller_reference)
);

CREATE INDEX invalidations_in_progress ON invalidations (changed_version) WHERE state = 'InProgress';
