-- Lists and rounds of many rows: each condition and order that they ask for has its index.

CREATE INDEX channels_by_age ON channels (created_at, id);
CREATE INDEX distributions_by_age ON distributions (created_at, id);
CREATE INDEX distributions_by_provider ON distributions (provider_id) WHERE provider_id IS NOT NULL;
CREATE INDEX distributions_in_progress ON distributions (id) WHERE status = 'InProgress';
CREATE INDEX breakouts_by_age ON breakouts (created_at, id);
CREATE INDEX breakouts_starting ON breakouts (id) WHERE state = 'STARTING';
CREATE INDEX recordings_by_age ON recordings (created_at, id);
CREATE INDEX viewers_by_entry ON viewers (breakout_id, entered_at, session);
CREATE INDEX jobs_by_age ON jobs (created_at, id);
CREATE INDEX jobs_by_subject ON jobs (subject, kind);

DROP INDEX breakouts_by_channel;
DROP INDEX breakouts_by_event;
CREATE INDEX breakouts_by_channel ON breakouts (channel_id, created_at, id);
CREATE INDEX breakouts_by_event ON breakouts (event_id, created_at, id);
