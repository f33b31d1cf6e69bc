-- Accounts and events, what an audience may do, recordings, jobs, and two inputs of a channel.

CREATE TABLE accounts (
    id              TEXT    NOT NULL PRIMARY KEY,
    name            TEXT    NOT NULL UNIQUE,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    idempotency_key TEXT UNIQUE,
    request_hash    BLOB
) STRICT;

CREATE TABLE events (
    id              TEXT    NOT NULL PRIMARY KEY,
    account_id      TEXT    NOT NULL REFERENCES accounts (id),
    name            TEXT    NOT NULL UNIQUE,
    description     TEXT    NOT NULL,
    starts_at       INTEGER,
    ends_at         INTEGER,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    idempotency_key TEXT UNIQUE,
    request_hash    BLOB
) STRICT;

CREATE INDEX events_by_account ON events (account_id);

ALTER TABLE channels ADD COLUMN failover_enabled INTEGER NOT NULL DEFAULT 1;
ALTER TABLE channels ADD COLUMN failover_loss_ms INTEGER NOT NULL DEFAULT 3000;
ALTER TABLE channels ADD COLUMN failover_clear_ms INTEGER NOT NULL DEFAULT 30000;
ALTER TABLE channels ADD COLUMN input_preference TEXT NOT NULL DEFAULT 'primary';
-- The operator's last switch; the sequence goes up with each.
ALTER TABLE channels ADD COLUMN chosen_input TEXT;
ALTER TABLE channels ADD COLUMN chosen_sequence INTEGER NOT NULL DEFAULT 0;
-- Addresses and blocks that may push, as a JSON array; none stands for all.
ALTER TABLE channels ADD COLUMN ingest_allow TEXT NOT NULL DEFAULT '[]';

ALTER TABLE breakouts RENAME TO breakouts_old;

CREATE TABLE breakouts (
    id               TEXT    NOT NULL PRIMARY KEY,
    name             TEXT    NOT NULL UNIQUE,
    -- None once the channel was deleted: what was recorded of its breakouts stays.
    channel_id       TEXT REFERENCES channels (id) ON DELETE SET NULL,
    event_id         TEXT REFERENCES events (id),
    description      TEXT    NOT NULL DEFAULT '',
    tags             TEXT    NOT NULL DEFAULT '[]',
    -- Takes the place of the channel's list while it is on air.
    ingest_allow     TEXT    NOT NULL DEFAULT '[]',
    scheduled_at     INTEGER,
    duration_minutes INTEGER,
    session          INTEGER NOT NULL DEFAULT 1,
    curtain_up       INTEGER NOT NULL DEFAULT 1,
    -- Sessions of one user at a time; 0 is no limit.
    device_limit     INTEGER NOT NULL DEFAULT 1,
    attendance       TEXT    NOT NULL DEFAULT 'full',
    mp4              INTEGER NOT NULL DEFAULT 0,
    revoked_before   INTEGER NOT NULL DEFAULT 0,
    state            TEXT    NOT NULL,
    changed_version  INTEGER NOT NULL,
    problem          TEXT,
    -- What had to be repaired when it started, in words.
    notice           TEXT,
    started_at       INTEGER,
    ended_at         INTEGER,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    idempotency_key  TEXT UNIQUE,
    request_hash     BLOB
) STRICT;

INSERT INTO breakouts (id, name, channel_id, state, changed_version, problem, notice, started_at, ended_at, created_at, updated_at,
                       idempotency_key, request_hash)
SELECT id, name, channel_id, state, changed_version, problem, notice, started_at, ended_at, created_at, updated_at,
       idempotency_key, request_hash
FROM breakouts_old;

DROP TABLE breakouts_old;

CREATE INDEX breakouts_by_channel ON breakouts (channel_id);
CREATE INDEX breakouts_by_event ON breakouts (event_id);
CREATE INDEX breakouts_by_end ON breakouts (ended_at) WHERE state = 'COMPLETED';

-- One breakout of a channel on air at a time, whatever the code above believes.
CREATE UNIQUE INDEX breakouts_on_air ON breakouts (channel_id) WHERE state IN ('STARTING', 'RUNNING');

CREATE TABLE viewers (
    breakout_id TEXT    NOT NULL REFERENCES breakouts (id) ON DELETE CASCADE,
    session     TEXT    NOT NULL,
    user_name   TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    address     TEXT    NOT NULL,
    user_agent  TEXT    NOT NULL,
    browser     TEXT    NOT NULL,
    os          TEXT    NOT NULL,
    entered_at  INTEGER NOT NULL,
    seen_at     INTEGER NOT NULL,
    exited_at   INTEGER,
    -- `left`, `signed-out`, `device-limit`, `revoked` or `ended`.
    exit_reason TEXT,
    expelled    INTEGER NOT NULL DEFAULT 0,
    bytes       INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (breakout_id, session)
) STRICT;

CREATE INDEX viewers_by_user ON viewers (breakout_id, user_name);
CREATE INDEX viewers_open ON viewers (seen_at) WHERE exited_at IS NULL;
CREATE INDEX viewers_expelled ON viewers (breakout_id) WHERE expelled = 1;

CREATE TABLE recordings (
    id          TEXT    NOT NULL PRIMARY KEY,
    breakout_id TEXT    NOT NULL REFERENCES breakouts (id) ON DELETE CASCADE,
    session     INTEGER NOT NULL,
    state       TEXT    NOT NULL,
    duration_ms INTEGER NOT NULL DEFAULT 0,
    segments    INTEGER NOT NULL DEFAULT 0,
    bytes       INTEGER NOT NULL DEFAULT 0,
    gaps        INTEGER NOT NULL DEFAULT 0,
    gap_ms      INTEGER NOT NULL DEFAULT 0,
    mp4_bytes   INTEGER,
    problem     TEXT,
    started_at  INTEGER NOT NULL,
    ended_at    INTEGER,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    UNIQUE (breakout_id, session)
) STRICT;

CREATE INDEX recordings_open ON recordings (state) WHERE state IN ('RECORDING', 'CLOSING');

CREATE TABLE jobs (
    id           TEXT    NOT NULL PRIMARY KEY,
    kind         TEXT    NOT NULL,
    -- What it is about; one unfinished job of a kind for each.
    subject      TEXT    NOT NULL,
    arguments    TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    priority     INTEGER NOT NULL DEFAULT 0,
    progress     INTEGER NOT NULL DEFAULT 0,
    attempts     INTEGER NOT NULL DEFAULT 0,
    attempts_max INTEGER NOT NULL,
    next_try_at  INTEGER NOT NULL,
    worker       TEXT,
    lease_until  INTEGER,
    problem      TEXT,
    created_at   INTEGER NOT NULL,
    started_at   INTEGER,
    ended_at     INTEGER,
    updated_at   INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX jobs_unfinished ON jobs (kind, subject) WHERE state IN ('QUEUED', 'RUNNING');
CREATE INDEX jobs_due ON jobs (priority, next_try_at) WHERE state IN ('QUEUED', 'RUNNING');
