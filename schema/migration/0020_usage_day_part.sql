-- Bytes and packets of a line in one local day of its own time zone, or in the
-- part of a day in which the line had this reference. Parts of one reference never
-- overlap: every byte is in exactly one. The highest version of a key counts; a
-- part that was cut elsewhere since is withdrawn. A partition is the UTC day in
-- which its parts end, so it expires whole; access_ref leads the sort key, because
-- readers and erasure ask by it.
CREATE TABLE IF NOT EXISTS traffic.usage_day_part
(
    access_ref   FixedString(16),
    day          Date COMMENT 'the local date',
    zone         LowCardinality(String) COMMENT 'IANA zone whose date it is',
    started_at   DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    ended_at     DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    direction    LowCardinality(String),
    ip_version   UInt8,
    source       LowCardinality(String) COMMENT 'who counted: kernel or radius (what was left out is a row of zero)',
    collector_id LowCardinality(String) COMMENT 'whose counter it was',
    bytes        UInt64 CODEC(T64, ZSTD),
    packets      UInt64 CODEC(T64, ZSTD),
    gap_seconds  UInt32 COMMENT 'of the part, not collected by any of the collectors that counted in it',
    withdrawn    Bool,
    version      UInt64 CODEC(Delta, ZSTD),
    class        LowCardinality(String),
    CONSTRAINT whole_buckets CHECK toUnixTimestamp64Milli(started_at) % 300000 = 0 AND toUnixTimestamp64Milli(ended_at) % 300000 = 0,
    CONSTRAINT within_a_day CHECK ended_at > started_at AND ended_at <= addHours(started_at, 26),
    CONSTRAINT one_class CHECK class = 'usage_day'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toDate(subtractMilliseconds(ended_at, 1))
ORDER BY (access_ref, started_at, ended_at, direction, ip_version, source, collector_id)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60
