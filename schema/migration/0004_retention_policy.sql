-- How long each class is readable. Rows are only ever added: the highest
-- generation of a class counts, so that a change applies to the next query.
-- A class without a row, or with present = false, is not readable at all.
-- What had expired before a change (expired_through) stays expired after it.
CREATE TABLE IF NOT EXISTS traffic.retention_policy
(
    generation      UInt64,
    class           LowCardinality(String),
    present         Bool,
    period          String COMMENT 'ISO 8601 calendar period, as written',
    months          UInt32 COMMENT 'of the period: years and months',
    days            UInt32 COMMENT 'of the period: weeks and days',
    seconds         UInt64 COMMENT 'of the period: hours, minutes and seconds',
    zone            LowCardinality(String) COMMENT 'IANA zone whose calendar counts',
    purpose         String,
    basis           String,
    source          String,
    profile         LowCardinality(String),
    expired_through DateTime64(3, 'UTC'),
    written_at      DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (class, generation)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
