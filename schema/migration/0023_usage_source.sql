-- Who counted: the kernel of a collector, or a BNG in RADIUS accounting. A
-- counter has one source, so the rows' key stays what it was.
ALTER TABLE traffic.usage_bucket
    ADD COLUMN IF NOT EXISTS source LowCardinality(String) DEFAULT 'kernel' AFTER collector_id
