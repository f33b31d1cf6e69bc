-- People: who logs in, what they may do, the log-ins in force, and who has asked for which change.

INSERT INTO meta (key, value) VALUES ('audit_sequence', 0);

CREATE TABLE users (
    id                 TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name               TEXT COLLATE "C" NOT NULL,
    -- The name in lower case: two that differ in that only are the same.
    name_key           TEXT COLLATE "C" NOT NULL UNIQUE,
    display_name       TEXT COLLATE "C" NOT NULL,
    -- `owner`, `admin`, `operator` or `viewer`.
    role               TEXT COLLATE "C" NOT NULL,
    -- `object:action`, with commas between.
    privileges_added   TEXT COLLATE "C" NOT NULL,
    privileges_removed TEXT COLLATE "C" NOT NULL,
    disabled           BIGINT NOT NULL,
    -- A PHC string of argon2id; none where there is no password.
    password_hash      TEXT COLLATE "C",
    -- Who vouches for them, and by which name that one knows them.
    provider           TEXT COLLATE "C",
    provider_subject   TEXT COLLATE "C",
    last_login_at      BIGINT,
    created_at         BIGINT NOT NULL,
    updated_at         BIGINT NOT NULL
);

CREATE UNIQUE INDEX users_by_subject ON users (provider, provider_subject) WHERE provider IS NOT NULL;

CREATE TABLE logins (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- SHA-256 of what the cookie holds.
    hash       BYTEA NOT NULL UNIQUE,
    user_id    TEXT COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- May lag by a minute.
    seen_at    BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    remote     TEXT COLLATE "C" NOT NULL,
    user_agent TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX logins_by_user ON logins (user_id, created_at);

CREATE TABLE audit (
    sequence   BIGINT NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL,
    -- Name of the user or token, if the request showed one.
    actor      TEXT COLLATE "C",
    -- `user`, `token` or `none`.
    actor_kind TEXT COLLATE "C" NOT NULL,
    operation  TEXT COLLATE "C" NOT NULL,
    object     TEXT COLLATE "C" NOT NULL,
    subject    TEXT COLLATE "C",
    status     BIGINT NOT NULL,
    remote     TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL
);

CREATE INDEX audit_by_time ON audit (created_at);
CREATE INDEX audit_by_actor ON audit (actor, sequence) WHERE actor IS NOT NULL;
CREATE INDEX audit_by_subject ON audit (subject, sequence) WHERE subject IS NOT NULL;
