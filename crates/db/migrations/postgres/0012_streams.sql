-- The cluster that a breakout is a stream of, by name: peers know the same name, and a cluster may be defined anew.

ALTER TABLE breakouts ADD COLUMN cluster TEXT COLLATE "C";

CREATE INDEX breakouts_by_cluster ON breakouts (cluster, created_at, id) WHERE cluster IS NOT NULL;
