-- Accounts and events, what an audience may do, recordings, jobs, and two inputs of a channel.

CREATE TABLE accounts (
    id              TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    name            TEXT COLLATE "C"    NOT NULL UNIQUE,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    idempotency_key TEXT COLLATE "C" UNIQUE,
    request_hash    BYTEA
);

CREATE TABLE events (
    id              TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    account_id      TEXT COLLATE "C"    NOT NULL REFERENCES accounts (id),
    name            TEXT COLLATE "C"    NOT NULL UNIQUE,
    description     TEXT COLLATE "C"    NOT NULL,
    starts_at       BIGINT,
    ends_at         BIGINT,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    idempotency_key TEXT COLLATE "C" UNIQUE,
    request_hash    BYTEA
);

CREATE INDEX events_by_account ON events (account_id);

ALTER TABLE channels ADD COLUMN failover_enabled BIGINT NOT NULL DEFAULT 1;
ALTER TABLE channels ADD COLUMN failover_loss_ms BIGINT NOT NULL DEFAULT 3000;
ALTER TABLE channels ADD COLUMN failover_clear_ms BIGINT NOT NULL DEFAULT 30000;
ALTER TABLE channels ADD COLUMN input_preference TEXT COLLATE "C" NOT NULL DEFAULT 'primary';
-- The operator's last switch; the sequence goes up with each.
ALTER TABLE channels ADD COLUMN chosen_input TEXT COLLATE "C";
ALTER TABLE channels ADD COLUMN chosen_sequence BIGINT NOT NULL DEFAULT 0;
-- Addresses and blocks that may push, as a JSON array; none stands for all.
ALTER TABLE channels ADD COLUMN ingest_allow TEXT COLLATE "C" NOT NULL DEFAULT '[]';

-- Once a channel is deleted what was recorded of its breakouts stays.
ALTER TABLE breakouts ALTER COLUMN channel_id DROP NOT NULL;
ALTER TABLE breakouts DROP CONSTRAINT breakouts_channel_id_fkey;
ALTER TABLE breakouts ADD FOREIGN KEY (channel_id) REFERENCES channels (id) ON DELETE SET NULL;
ALTER TABLE breakouts ADD COLUMN event_id TEXT COLLATE "C" REFERENCES events (id);
ALTER TABLE breakouts ADD COLUMN description TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE breakouts ADD COLUMN tags TEXT COLLATE "C" NOT NULL DEFAULT '[]';
-- Takes the place of the channel's list while it is on air.
ALTER TABLE breakouts ADD COLUMN ingest_allow TEXT COLLATE "C" NOT NULL DEFAULT '[]';
ALTER TABLE breakouts ADD COLUMN scheduled_at BIGINT;
ALTER TABLE breakouts ADD COLUMN duration_minutes BIGINT;
ALTER TABLE breakouts ADD COLUMN session BIGINT NOT NULL DEFAULT 1;
ALTER TABLE breakouts ADD COLUMN curtain_up BIGINT NOT NULL DEFAULT 1;
-- Sessions of one user at a time; 0 is no limit.
ALTER TABLE breakouts ADD COLUMN device_limit BIGINT NOT NULL DEFAULT 1;
ALTER TABLE breakouts ADD COLUMN attendance TEXT COLLATE "C" NOT NULL DEFAULT 'full';
ALTER TABLE breakouts ADD COLUMN mp4 BIGINT NOT NULL DEFAULT 0;
ALTER TABLE breakouts ADD COLUMN revoked_before BIGINT NOT NULL DEFAULT 0;

CREATE INDEX breakouts_by_event ON breakouts (event_id);
CREATE INDEX breakouts_by_end ON breakouts (ended_at) WHERE state = 'COMPLETED';

CREATE TABLE viewers (
    breakout_id TEXT COLLATE "C"    NOT NULL REFERENCES breakouts (id) ON DELETE CASCADE,
    session     TEXT COLLATE "C"    NOT NULL,
    user_name   TEXT COLLATE "C"    NOT NULL,
    kind        TEXT COLLATE "C"    NOT NULL,
    address     TEXT COLLATE "C"    NOT NULL,
    user_agent  TEXT COLLATE "C"    NOT NULL,
    browser     TEXT COLLATE "C"    NOT NULL,
    os          TEXT COLLATE "C"    NOT NULL,
    entered_at  BIGINT NOT NULL,
    seen_at     BIGINT NOT NULL,
    exited_at   BIGINT,
    -- `left`, `signed-out`, `device-limit`, `revoked` or `ended`.
    exit_reason TEXT COLLATE "C",
    expelled    BIGINT NOT NULL DEFAULT 0,
    bytes       BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (breakout_id, session)
);

CREATE INDEX viewers_by_user ON viewers (breakout_id, user_name);
CREATE INDEX viewers_open ON viewers (seen_at) WHERE exited_at IS NULL;
CREATE INDEX viewers_expelled ON viewers (breakout_id) WHERE expelled = 1;

CREATE TABLE recordings (
    id          TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    breakout_id TEXT COLLATE "C"    NOT NULL REFERENCES breakouts (id) ON DELETE CASCADE,
    session     BIGINT NOT NULL,
    state       TEXT COLLATE "C"    NOT NULL,
    duration_ms BIGINT NOT NULL DEFAULT 0,
    segments    BIGINT NOT NULL DEFAULT 0,
    bytes       BIGINT NOT NULL DEFAULT 0,
    gaps        BIGINT NOT NULL DEFAULT 0,
    gap_ms      BIGINT NOT NULL DEFAULT 0,
    mp4_bytes   BIGINT,
    problem     TEXT COLLATE "C",
    started_at  BIGINT NOT NULL,
    ended_at    BIGINT,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    UNIQUE (breakout_id, session)
);

CREATE INDEX recordings_open ON recordings (state) WHERE state IN ('RECORDING', 'CLOSING');

CREATE TABLE jobs (
    id           TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    kind         TEXT COLLATE "C"    NOT NULL,
    -- What it is about; one unfinished job of a kind for each.
    subject      TEXT COLLATE "C"    NOT NULL,
    arguments    TEXT COLLATE "C"    NOT NULL,
    state        TEXT COLLATE "C"    NOT NULL,
    priority     BIGINT NOT NULL DEFAULT 0,
    progress     BIGINT NOT NULL DEFAULT 0,
    attempts     BIGINT NOT NULL DEFAULT 0,
    attempts_max BIGINT NOT NULL,
    next_try_at  BIGINT NOT NULL,
    worker       TEXT COLLATE "C",
    lease_until  BIGINT,
    problem      TEXT COLLATE "C",
    created_at   BIGINT NOT NULL,
    started_at   BIGINT,
    ended_at     BIGINT,
    updated_at   BIGINT NOT NULL
);

CREATE UNIQUE INDEX jobs_unfinished ON jobs (kind, subject) WHERE state IN ('QUEUED', 'RUNNING');
CREATE INDEX jobs_due ON jobs (priority, next_try_at) WHERE state IN ('QUEUED', 'RUNNING');
