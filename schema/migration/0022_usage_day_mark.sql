-- How far usage was rolled up into days: one row per UTC day of buckets, no line
-- and no reference in it. The highest version of a day counts.
CREATE TABLE IF NOT EXISTS traffic.usage_day_mark
(
    utc_day          Date,
    through          DateTime64(3, 'UTC') COMMENT 'local days that had ended by then are rolled up',
    blocks           Int64 COMMENT 'newest block of buckets of the day that is counted in',
    register_version UInt64 COMMENT 'newest change of the register that is counted in',
    bucket_rows      UInt64 COMMENT 'of the whole day and store: what is more has come late',
    version          UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY utc_day
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
