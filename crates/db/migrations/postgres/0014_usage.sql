-- What was used and what it costs, as those of SQLite. Nothing here goes when a breakout, an asset or a distribution does: bills outlive them.

-- Delivered to viewers, by stretch of time: `step` is 60, 300, 3600 or 86400 seconds. What is old is added up to longer stretches, so that no
-- moment is in two rows.
CREATE TABLE usage_delivered (
    step            BIGINT NOT NULL,
    -- Unix seconds of its beginning.
    at              BIGINT NOT NULL,
    distribution_id TEXT COLLATE "C" NOT NULL,
    -- Empty if it belongs to none.
    breakout        TEXT COLLATE "C" NOT NULL,
    session         BIGINT NOT NULL,
    recorded        BIGINT NOT NULL,
    asset           TEXT COLLATE "C" NOT NULL,
    rendition       TEXT COLLATE "C" NOT NULL,
    location        TEXT COLLATE "C" NOT NULL,
    -- Price class of the location.
    class           TEXT COLLATE "C" NOT NULL,
    requests        BIGINT NOT NULL,
    bytes           BIGINT NOT NULL,
    status_1xx      BIGINT NOT NULL,
    status_2xx      BIGINT NOT NULL,
    status_3xx      BIGINT NOT NULL,
    status_4xx      BIGINT NOT NULL,
    status_5xx      BIGINT NOT NULL,
    hits            BIGINT NOT NULL,
    misses          BIGINT NOT NULL,
    fetched         BIGINT NOT NULL,
    PRIMARY KEY (step, at, distribution_id, breakout, session, recorded, asset, rendition, location, class)
);

CREATE INDEX usage_delivered_by_time ON usage_delivered (at);
CREATE INDEX usage_delivered_by_breakout ON usage_delivered (breakout, session) WHERE breakout <> '';
CREATE INDEX usage_delivered_by_asset ON usage_delivered (asset, at) WHERE asset <> '';

-- What players told (CTA-5004), by stretch of time.
CREATE TABLE usage_quality (
    step     BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    breakout TEXT COLLATE "C" NOT NULL,
    asset    TEXT COLLATE "C" NOT NULL,
    -- JSON of the model's `Quality`.
    quality  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (step, at, breakout, asset)
);

-- What is billed: sessions of breakouts, and assets (session 0).
CREATE TABLE usage_subjects (
    -- `breakout` or `asset`.
    kind         TEXT COLLATE "C" NOT NULL,
    subject      TEXT COLLATE "C" NOT NULL,
    session      BIGINT NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    event_id     TEXT COLLATE "C" NOT NULL,
    account_id   TEXT COLLATE "C" NOT NULL,
    started_at   BIGINT NOT NULL,
    ended_at     BIGINT,
    inputs       BIGINT NOT NULL,
    -- Bytes that are kept, and of those that were packaged live.
    bytes        BIGINT NOT NULL DEFAULT 0,
    mp4_bytes    BIGINT NOT NULL DEFAULT 0,
    duration_ms  BIGINT NOT NULL DEFAULT 0,
    renditions   BIGINT NOT NULL DEFAULT 0,
    -- How often it was converted.
    conversions  BIGINT NOT NULL DEFAULT 0,
    -- When it was converted last.
    converted_at BIGINT,
    -- When it was kept from, and when it was gone.
    kept_from    BIGINT,
    kept_until   BIGINT,
    viewers      BIGINT NOT NULL DEFAULT 0,
    viewer_ms    BIGINT NOT NULL DEFAULT 0,
    peak_viewers BIGINT NOT NULL DEFAULT 0,
    -- Since when every edge has told of all that was before its end.
    settled_at   BIGINT,
    PRIMARY KEY (kind, subject, session)
);

CREATE INDEX usage_subjects_open ON usage_subjects (started_at) WHERE settled_at IS NULL OR kept_until IS NULL;

-- What it costs. Entry 0 is an estimate until it is final; a final one is never changed: what comes to light later is another entry.
CREATE TABLE charges (
    kind        TEXT COLLATE "C" NOT NULL,
    subject     TEXT COLLATE "C" NOT NULL,
    session     BIGINT NOT NULL,
    service     TEXT COLLATE "C" NOT NULL,
    -- The month that it is of, such as `2026-11`, if it is charged by month; else empty.
    month       TEXT COLLATE "C" NOT NULL,
    entry       BIGINT NOT NULL,
    -- `estimate`, `final` or `correction`.
    state       TEXT COLLATE "C" NOT NULL,
    -- Whose prices count, and the currency's code.
    model       TEXT COLLATE "C" NOT NULL,
    currency    TEXT COLLATE "C" NOT NULL,
    -- Millionths of the currency: what counts, and the same by the other model.
    amount      BIGINT NOT NULL,
    alternative BIGINT NOT NULL,
    -- Quantities and the prices by which they were charged, as JSON.
    parts       TEXT COLLATE "C" NOT NULL,
    -- Unix milliseconds: in which month it counts.
    charged_at  BIGINT NOT NULL,
    written_at  BIGINT NOT NULL,
    PRIMARY KEY (kind, subject, session, service, month, entry)
);

CREATE INDEX charges_by_time ON charges (charged_at);
