-- The log of everything that happens, webhooks that are told of it, and API tokens with scopes.

-- Sequence of the newest entry, of the newest that is no longer kept, and what goes up when tokens change.
INSERT INTO meta (key, value) VALUES ('log_sequence', 0), ('log_floor', 0), ('tokens_version', 0);

CREATE TABLE log (
    -- Without gaps: given in the transaction that makes the change.
    sequence     BIGINT           NOT NULL PRIMARY KEY,
    created_at   BIGINT           NOT NULL,
    -- `transition`, `stream` or `activity`.
    kind         TEXT COLLATE "C" NOT NULL,
    type         TEXT COLLATE "C" NOT NULL,
    subject_kind TEXT COLLATE "C" NOT NULL,
    subject      TEXT COLLATE "C" NOT NULL,
    channel      TEXT COLLATE "C",
    breakout     TEXT COLLATE "C",
    account      TEXT COLLATE "C",
    -- Name of the token; none for the system.
    actor        TEXT COLLATE "C",
    -- JSON object.
    details      TEXT COLLATE "C" NOT NULL
);

CREATE INDEX log_by_subject ON log (subject, sequence);
CREATE INDEX log_by_channel ON log (channel, sequence) WHERE channel IS NOT NULL;
CREATE INDEX log_by_breakout ON log (breakout, sequence) WHERE breakout IS NOT NULL;
CREATE INDEX log_by_actor ON log (actor, sequence) WHERE actor IS NOT NULL;

CREATE TABLE webhooks (
    id                  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    url                 TEXT COLLATE "C" NOT NULL,
    secret              TEXT COLLATE "C" NOT NULL,
    -- The secret before, and until when it signs as well.
    secret_before       TEXT COLLATE "C",
    secret_before_until BIGINT,
    -- Types and beginnings of types, with commas between; empty stands for all.
    types               TEXT COLLATE "C" NOT NULL,
    enabled             BIGINT           NOT NULL,
    -- Every entry up to this one is delivered, not wanted, or in the backlog.
    log_cursor          BIGINT           NOT NULL,
    problem             TEXT COLLATE "C",
    -- Failures since the last success.
    attempts            BIGINT           NOT NULL DEFAULT 0,
    next_try_at         BIGINT,
    delivered_total     BIGINT           NOT NULL DEFAULT 0,
    failed_total        BIGINT           NOT NULL DEFAULT 0,
    given_up_total      BIGINT           NOT NULL DEFAULT 0,
    delivered_at        BIGINT,
    created_at          BIGINT           NOT NULL,
    updated_at          BIGINT           NOT NULL,
    idempotency_key     TEXT COLLATE "C" UNIQUE,
    request_hash        BYTEA
);

-- What a webhook has not taken yet though its cursor is past it.
CREATE TABLE webhook_backlog (
    webhook_id      TEXT COLLATE "C" NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    sequence        BIGINT           NOT NULL,
    -- Entries of one subject wait for each other.
    subject         TEXT COLLATE "C" NOT NULL,
    attempts        BIGINT           NOT NULL,
    first_failed_at BIGINT,
    next_try_at     BIGINT           NOT NULL,
    error           TEXT COLLATE "C",
    PRIMARY KEY (webhook_id, sequence)
);

ALTER TABLE tokens ADD COLUMN id TEXT COLLATE "C";
-- With commas between.
ALTER TABLE tokens ADD COLUMN scopes TEXT COLLATE "C";
ALTER TABLE tokens ADD COLUMN expires_at BIGINT;
ALTER TABLE tokens ADD COLUMN last_used_at BIGINT;
ALTER TABLE tokens ADD COLUMN revoked_at BIGINT;
UPDATE tokens SET id = 't' || substr(replace(gen_random_uuid()::text, '-', ''), 1, 16), scopes = 'admin';
ALTER TABLE tokens ALTER COLUMN id SET NOT NULL;
ALTER TABLE tokens ALTER COLUMN scopes SET NOT NULL;
ALTER TABLE tokens DROP CONSTRAINT tokens_pkey;
ALTER TABLE tokens ADD PRIMARY KEY (id);
ALTER TABLE tokens ADD UNIQUE (hash);
