-- Since when something holds of an input, in Unix milliseconds; and the sessions of viewers that are forgotten first.

ALTER TABLE standing ADD COLUMN since INTEGER NOT NULL DEFAULT 0;

CREATE INDEX viewers_by_exit ON viewers (exited_at) WHERE exited_at IS NOT NULL;
