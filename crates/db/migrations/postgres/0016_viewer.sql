-- What a viewer's page shows besides the picture: how many watch, and the MP4 of the recording.
ALTER TABLE breakouts ADD COLUMN show_viewers BIGINT NOT NULL DEFAULT 0;
ALTER TABLE breakouts ADD COLUMN viewer_download BIGINT NOT NULL DEFAULT 0;
