-- Nodes that are processes of their own, what they report, and who this control plane is.

-- One row: made with the database, so that a node can tell a database made anew from an old one.
CREATE TABLE plane (
    id TEXT NOT NULL PRIMARY KEY
) STRICT;

INSERT INTO plane (id) VALUES ('p' || lower(hex(randomblob(16))));

CREATE TABLE nodes (
    name           TEXT    NOT NULL PRIMARY KEY,
    role           TEXT    NOT NULL,
    location       TEXT    NOT NULL,
    location_class TEXT    NOT NULL,
    state          TEXT    NOT NULL,
    version        INTEGER NOT NULL,
    joined_at      INTEGER NOT NULL,
    seen_at        INTEGER NOT NULL
) STRICT;

-- The last batch of each report spool that was counted, written in the transaction that counts it.
CREATE TABLE spools (
    id         TEXT    NOT NULL PRIMARY KEY,
    node       TEXT    NOT NULL,
    sequence   INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- An empty breakout is no breakout.
CREATE TABLE traffic (
    distribution_id TEXT    NOT NULL REFERENCES distributions (id) ON DELETE CASCADE,
    behavior        TEXT    NOT NULL,
    breakout        TEXT    NOT NULL,
    requests        INTEGER NOT NULL,
    bytes           INTEGER NOT NULL,
    status_1xx      INTEGER NOT NULL,
    status_2xx      INTEGER NOT NULL,
    status_3xx      INTEGER NOT NULL,
    status_4xx      INTEGER NOT NULL,
    status_5xx      INTEGER NOT NULL,
    hits            INTEGER NOT NULL,
    misses          INTEGER NOT NULL,
    PRIMARY KEY (distribution_id, behavior, breakout)
) STRICT;
