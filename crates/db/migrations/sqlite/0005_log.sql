-- The log of everything that happens, webhooks that are told of it, and API tokens with scopes.

-- Sequence of the newest entry, of the newest that is no longer kept, and what goes up when tokens change.
INSERT INTO meta (key, value) VALUES ('log_sequence', 0), ('log_floor', 0), ('tokens_version', 0);

CREATE TABLE log (
    -- Without gaps: given in the transaction that makes the change.
    sequence     INTEGER NOT NULL PRIMARY KEY,
    created_at   INTEGER NOT NULL,
    -- `transition`, `stream` or `activity`.
    kind         TEXT    NOT NULL,
    type         TEXT    NOT NULL,
    subject_kind TEXT    NOT NULL,
    subject      TEXT    NOT NULL,
    channel      TEXT,
    breakout     TEXT,
    account      TEXT,
    -- Name of the token; none for the system.
    actor        TEXT,
    -- JSON object.
    details      TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX log_by_subject ON log (subject, sequence);
CREATE INDEX log_by_channel ON log (channel, sequence) WHERE channel IS NOT NULL;
CREATE INDEX log_by_breakout ON log (breakout, sequence) WHERE breakout IS NOT NULL;
CREATE INDEX log_by_actor ON log (actor, sequence) WHERE actor IS NOT NULL;

CREATE TABLE webhooks (
    id                  TEXT    NOT NULL PRIMARY KEY,
    url                 TEXT    NOT NULL,
    secret              TEXT    NOT NULL,
    -- The secret before, and until when it signs as well.
    secret_before       TEXT,
    secret_before_until INTEGER,
    -- Types and beginnings of types, with commas between; empty stands for all.
    types               TEXT    NOT NULL,
    enabled             INTEGER NOT NULL,
    -- Every entry up to this one is delivered, not wanted, or in the backlog.
    log_cursor          INTEGER NOT NULL,
    problem             TEXT,
    -- Failures since the last success.
    attempts            INTEGER NOT NULL DEFAULT 0,
    next_try_at         INTEGER,
    delivered_total     INTEGER NOT NULL DEFAULT 0,
    failed_total        INTEGER NOT NULL DEFAULT 0,
    given_up_total      INTEGER NOT NULL DEFAULT 0,
    delivered_at        INTEGER,
    created_at          INTEGER NOT NULL,
    updated_at          INTEGER NOT NULL,
    idempotency_key     TEXT UNIQUE,
    request_hash        BLOB
) STRICT;

-- What a webhook has not taken yet though its cursor is past it.
CREATE TABLE webhook_backlog (
    webhook_id      TEXT    NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    sequence        INTEGER NOT NULL,
    -- Entries of one subject wait for each other.
    subject         TEXT    NOT NULL,
    attempts        INTEGER NOT NULL,
    first_failed_at INTEGER,
    next_try_at     INTEGER NOT NULL,
    error           TEXT,
    PRIMARY KEY (webhook_id, sequence)
) STRICT;

ALTER TABLE tokens RENAME TO tokens_old;

CREATE TABLE tokens (
    id           TEXT    NOT NULL PRIMARY KEY,
    hash         BLOB    NOT NULL UNIQUE,
    name         TEXT    NOT NULL,
    -- With commas between.
    scopes       TEXT    NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    revoked_at   INTEGER,
    created_at   INTEGER NOT NULL
) STRICT;

INSERT INTO tokens (id, hash, name, scopes, created_at)
SELECT 't' || lower(hex(randomblob(8))), hash, name, 'admin', created_at FROM tokens_old;

DROP TABLE tokens_old;
