-- Which line an access_ref belonged to, and when.
CREATE TABLE IF NOT EXISTS register.line_access
(
    line_id    String,
    access_ref FixedString(16),
    valid_from DateTime64(3, 'UTC'),
    valid_to   DateTime64(3, 'UTC') COMMENT 'exclusive, 2200-01-01 while valid',
    version    UInt64,
    INDEX by_line line_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (access_ref, line_id, valid_from)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60
