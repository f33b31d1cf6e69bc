-- People: who logs in, what they may do, the log-ins in force, and who has asked for which change.

INSERT INTO meta (key, value) VALUES ('audit_sequence', 0);

CREATE TABLE users (
    id                 TEXT    NOT NULL PRIMARY KEY,
    name               TEXT    NOT NULL,
    -- The name in lower case: two that differ in that only are the same.
    name_key           TEXT    NOT NULL UNIQUE,
    display_name       TEXT    NOT NULL,
    -- `owner`, `admin`, `operator` or `viewer`.
    role               TEXT    NOT NULL,
    -- `object:action`, with commas between.
    privileges_added   TEXT    NOT NULL,
    privileges_removed TEXT    NOT NULL,
    disabled           INTEGER NOT NULL,
    -- A PHC string of argon2id; none where there is no password.
    password_hash      TEXT,
    -- Who vouches for them, and by which name that one knows them.
    provider           TEXT,
    provider_subject   TEXT,
    last_login_at      INTEGER,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX users_by_subject ON users (provider, provider_subject) WHERE provider IS NOT NULL;

CREATE TABLE logins (
    id         TEXT    NOT NULL PRIMARY KEY,
    -- SHA-256 of what the cookie holds.
    hash       BLOB    NOT NULL UNIQUE,
    user_id    TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- May lag by a minute.
    seen_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    remote     TEXT    NOT NULL,
    user_agent TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX logins_by_user ON logins (user_id, created_at);

CREATE TABLE audit (
    sequence   INTEGER NOT NULL PRIMARY KEY,
    created_at INTEGER NOT NULL,
    -- Name of the user or token, if the request showed one.
    actor      TEXT,
    -- `user`, `token` or `none`.
    actor_kind TEXT    NOT NULL,
    operation  TEXT    NOT NULL,
    object     TEXT    NOT NULL,
    subject    TEXT,
    status     INTEGER NOT NULL,
    remote     TEXT    NOT NULL,
    request_id TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX audit_by_time ON audit (created_at);
CREATE INDEX audit_by_actor ON audit (actor, sequence) WHERE actor IS NOT NULL;
CREATE INDEX audit_by_subject ON audit (subject, sequence) WHERE subject IS NOT NULL;
