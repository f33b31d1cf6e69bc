-- Which viewer session watched what, as stretches of time; see `Stay` of the model. Sessions of breakouts that are gone stay, as what was delivered does.
CREATE TABLE viewer_stays (
    breakout        TEXT COLLATE "C" NOT NULL,
    session         TEXT COLLATE "C" NOT NULL,
    distribution_id TEXT COLLATE "C" NOT NULL,
    -- Empty for what belongs to none.
    rendition       TEXT COLLATE "C" NOT NULL,
    location        TEXT COLLATE "C" NOT NULL,
    -- Unix milliseconds.
    entered_at      BIGINT NOT NULL,
    seen_at         BIGINT NOT NULL,
    PRIMARY KEY (breakout, session, distribution_id, rendition, location, entered_at)
);

CREATE INDEX viewer_stays_by_time ON viewer_stays (entered_at);

-- What is kept of those that are forgotten, by hour. A row without breakout is of all of them together, one without distribution of all of those:
-- most at one moment is no sum.
CREATE TABLE usage_watched (
    -- Unix seconds of the hour's beginning.
    at              BIGINT NOT NULL,
    breakout        TEXT COLLATE "C" NOT NULL,
    distribution_id TEXT COLLATE "C" NOT NULL,
    -- `all`, `distribution`, `rendition` or `location`, and which.
    dimension       TEXT COLLATE "C" NOT NULL,
    which           TEXT COLLATE "C" NOT NULL,
    watched_ms      BIGINT NOT NULL,
    peak            BIGINT NOT NULL,
    PRIMARY KEY (at, breakout, distribution_id, dimension, which)
);

-- How often all pages of viewers were told to begin anew.
ALTER TABLE breakouts ADD COLUMN refreshes BIGINT NOT NULL DEFAULT 0;
