-- Which viewer session watched what, as stretches of time; see `Stay` of the model. Sessions of breakouts that are gone stay, as what was delivered does.
CREATE TABLE viewer_stays (
    breakout        TEXT    NOT NULL,
    session         TEXT    NOT NULL,
    distribution_id TEXT    NOT NULL,
    -- Empty for what belongs to none.
    rendition       TEXT    NOT NULL,
    location        TEXT    NOT NULL,
    -- Unix milliseconds.
    entered_at      INTEGER NOT NULL,
    seen_at         INTEGER NOT NULL,
    PRIMARY KEY (breakout, session, distribution_id, rendition, location, entered_at)
) STRICT;

CREATE INDEX viewer_stays_by_time ON viewer_stays (entered_at);

-- What is kept of those that are forgotten, by hour. A row without breakout is of all of them together, one without distribution of all of those:
-- most at one moment is no sum.
CREATE TABLE usage_watched (
    -- Unix seconds of the hour's beginning.
    at              INTEGER NOT NULL,
    breakout        TEXT    NOT NULL,
    distribution_id TEXT    NOT NULL,
    -- `all`, `distribution`, `rendition` or `location`, and which.
    dimension       TEXT    NOT NULL,
    which           TEXT    NOT NULL,
    watched_ms      INTEGER NOT NULL,
    peak            INTEGER NOT NULL,
    PRIMARY KEY (at, breakout, distribution_id, dimension, which)
) STRICT;

-- How often all pages of viewers were told to begin anew.
ALTER TABLE breakouts ADD COLUMN refreshes INTEGER NOT NULL DEFAULT 0;
