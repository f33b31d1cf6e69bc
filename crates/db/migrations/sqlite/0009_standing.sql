-- What ingest has said of inputs and not taken back: `connected`, `active`, or the kind of an alarm. It ends with the ingest that said it.

CREATE TABLE standing (
    input_id   TEXT NOT NULL REFERENCES inputs (id) ON DELETE CASCADE,
    what       TEXT NOT NULL,
    channel_id TEXT NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    PRIMARY KEY (input_id, what)
) STRICT;

CREATE INDEX standing_by_channel ON standing (channel_id);
