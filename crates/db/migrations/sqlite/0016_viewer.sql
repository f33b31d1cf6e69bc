-- What a viewer's page shows besides the picture: how many watch, and the MP4 of the recording.
ALTER TABLE breakouts ADD COLUMN show_viewers INTEGER NOT NULL DEFAULT 0;
ALTER TABLE breakouts ADD COLUMN viewer_download INTEGER NOT NULL DEFAULT 0;
