-- Nodes that are processes of their own, what they report, and who this control plane is.

-- One row: made with the database, so that a node can tell a database made anew from an old one.
CREATE TABLE plane (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY
);

INSERT INTO plane (id) VALUES ('p' || replace(gen_random_uuid()::text, '-', ''));

CREATE TABLE nodes (
    name           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    role           TEXT COLLATE "C" NOT NULL,
    location       TEXT COLLATE "C" NOT NULL,
    location_class TEXT COLLATE "C" NOT NULL,
    state          TEXT COLLATE "C" NOT NULL,
    version        BIGINT           NOT NULL,
    joined_at      BIGINT           NOT NULL,
    seen_at        BIGINT           NOT NULL
);

-- The last batch of each report spool that was counted, written in the transaction that counts it.
CREATE TABLE spools (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    node       TEXT COLLATE "C" NOT NULL,
    sequence   BIGINT           NOT NULL,
    updated_at BIGINT           NOT NULL
);

-- An empty breakout is no breakout.
CREATE TABLE traffic (
    distribution_id TEXT COLLATE "C" NOT NULL REFERENCES distributions (id) ON DELETE CASCADE,
    behavior        TEXT COLLATE "C" NOT NULL,
    breakout        TEXT COLLATE "C" NOT NULL,
    requests        BIGINT           NOT NULL,
    bytes           BIGINT           NOT NULL,
    status_1xx      BIGINT           NOT NULL,
    status_2xx      BIGINT           NOT NULL,
    status_3xx      BIGINT           NOT NULL,
    status_4xx      BIGINT           NOT NULL,
    status_5xx      BIGINT           NOT NULL,
    hits            BIGINT           NOT NULL,
    misses          BIGINT           NOT NULL,
    PRIMARY KEY (distribution_id, behavior, breakout)
);
