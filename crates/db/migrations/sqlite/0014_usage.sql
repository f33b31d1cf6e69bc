-- What was used and what it costs. Nothing here goes when a breakout, an asset or a distribution does: bills outlive them.

-- Delivered to viewers, by stretch of time: `step` is 60, 300, 3600 or 86400 seconds. What is old is added up to longer stretches, so that no
-- moment is in two rows.
CREATE TABLE usage_delivered (
    step            INTEGER NOT NULL,
    -- Unix seconds of its beginning.
    at              INTEGER NOT NULL,
    distribution_id TEXT    NOT NULL,
    -- Empty if it belongs to none.
    breakout        TEXT    NOT NULL,
    session         INTEGER NOT NULL,
    recorded        INTEGER NOT NULL,
    asset           TEXT    NOT NULL,
    rendition       TEXT    NOT NULL,
    location        TEXT    NOT NULL,
    -- Price class of the location.
    class           TEXT    NOT NULL,
    requests        INTEGER NOT NULL,
    bytes           INTEGER NOT NULL,
    status_1xx      INTEGER NOT NULL,
    status_2xx      INTEGER NOT NULL,
    status_3xx      INTEGER NOT NULL,
    status_4xx      INTEGER NOT NULL,
    status_5xx      INTEGER NOT NULL,
    hits            INTEGER NOT NULL,
    misses          INTEGER NOT NULL,
    fetched         INTEGER NOT NULL,
    PRIMARY KEY (step, at, distribution_id, breakout, session, recorded, asset, rendition, location, class)
) STRICT;

CREATE INDEX usage_delivered_by_time ON usage_delivered (at);
CREATE INDEX usage_delivered_by_breakout ON usage_delivered (breakout, session) WHERE breakout <> '';
CREATE INDEX usage_delivered_by_asset ON usage_delivered (asset, at) WHERE asset <> '';

-- What players told (CTA-5004), by stretch of time.
CREATE TABLE usage_quality (
    step     INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    breakout TEXT    NOT NULL,
    asset    TEXT    NOT NULL,
    -- JSON of the model's `Quality`.
    quality  TEXT    NOT NULL,
    PRIMARY KEY (step, at, breakout, asset)
) STRICT;

-- What is billed: sessions of breakouts, and assets (session 0).
CREATE TABLE usage_subjects (
    -- `breakout` or `asset`.
    kind         TEXT    NOT NULL,
    subject      TEXT    NOT NULL,
    session      INTEGER NOT NULL,
    name         TEXT    NOT NULL,
    event_id     TEXT    NOT NULL,
    account_id   TEXT    NOT NULL,
    started_at   INTEGER NOT NULL,
    ended_at     INTEGER,
    inputs       INTEGER NOT NULL,
    -- Bytes that are kept, and of those that were packaged live.
    bytes        INTEGER NOT NULL DEFAULT 0,
    mp4_bytes    INTEGER NOT NULL DEFAULT 0,
    duration_ms  INTEGER NOT NULL DEFAULT 0,
    renditions   INTEGER NOT NULL DEFAULT 0,
    -- How often it was converted.
    conversions  INTEGER NOT NULL DEFAULT 0,
    -- When it was converted last.
    converted_at INTEGER,
    -- When it was kept from, and when it was gone.
    kept_from    INTEGER,
    kept_until   INTEGER,
    viewers      INTEGER NOT NULL DEFAULT 0,
    viewer_ms    INTEGER NOT NULL DEFAULT 0,
    peak_viewers INTEGER NOT NULL DEFAULT 0,
    -- Since when every edge has told of all that was before its end.
    settled_at   INTEGER,
    PRIMARY KEY (kind, subject, session)
) STRICT;

CREATE INDEX usage_subjects_open ON usage_subjects (started_at) WHERE settled_at IS NULL OR kept_until IS NULL;

-- What it costs. Entry 0 is an estimate until it is final; a final one is never changed: what comes to light later is another entry.
CREATE TABLE charges (
    kind        TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    session     INTEGER NOT NULL,
    service     TEXT    NOT NULL,
    -- The month that it is of, such as `2026-11`, if it is charged by month; else empty.
    month       TEXT    NOT NULL,
    entry       INTEGER NOT NULL,
    -- `estimate`, `final` or `correction`.
    state       TEXT    NOT NULL,
    -- Whose prices count, and the currency's code.
    model       TEXT    NOT NULL,
    currency    TEXT    NOT NULL,
    -- Millionths of the currency: what counts, and the same by the other model.
    amount      INTEGER NOT NULL,
    alternative INTEGER NOT NULL,
    -- Quantities and the prices by which they were charged, as JSON.
    parts       TEXT    NOT NULL,
    -- Unix milliseconds: in which month it counts.
    charged_at  INTEGER NOT NULL,
    written_at  INTEGER NOT NULL,
    PRIMARY KEY (kind, subject, session, service, month, entry)
) STRICT;

CREATE INDEX charges_by_time ON charges (charged_at);
