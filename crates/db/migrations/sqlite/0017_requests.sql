-- Requests to storage: those by which edges alone asked the origin, and the objects of a recording that were written.
ALTER TABLE usage_delivered ADD COLUMN fetches INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_subjects ADD COLUMN objects INTEGER NOT NULL DEFAULT 0;
