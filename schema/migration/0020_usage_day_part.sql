-- Bytes and packets of a line in one local day of its own time zone, or in the
-- part of a day in which the line had this reference. Parts of one reference never
-- overlap: every byte is in exactly one. The highest version of a key counts; a
-- part that was cut elsewhere since is withdrawn. A partition is the UTC day in
-- which its parts end, so it expires whole; access_ref leads the sort key, because
-- readers and erasure ask by it; granules are small, because they ask for the few
-- rows that one reference has in each of many partitions.
CREATE TABLE IF NOT EXISTS traffic.usage_day_part
(
    access_ref   FixedString(16) CODEC(ZSTD),
    day          Date COMMENT 'the local date' CODEC(ZSTD),
    zone         LowCardinality(String) COMMENT 'IANA zone whose date it is' CODEC(ZSTD),
    started_at   DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD),
    ended_at     DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD),
    direction    LowCardinality(String) CODEC(ZSTD),
    ip_version   UInt8 CODEC(ZSTD),
    source       LowCardinality(String) COMMENT 'who counted: kernel or radius (what was left out is a row of zero)' CODEC(ZSTD),
    collector_id LowCardinality(String) COMMENT 'whose counter it was' CODEC(ZSTD),
    bytes        UInt64 CODEC(T64, ZSTD),
    packets      UInt64 CODEC(T64, ZSTD),
    gap_seconds  UInt32 COMMENT 'of the part, not collected by any of the collectors that counted in it' CODEC(ZSTD),
    withdrawn    Bool CODEC(ZSTD),
    version      UInt64 CODEC(Delta, ZSTD),
    class        LowCardinality(String) CODEC(ZSTD),
    CONSTRAINT whole_buckets CHECK toUnixTimestamp64Milli(started_at) % 300000 = 0 AND toUnixTimestamp64Milli(ended_at) % 300000 = 0,
    CONSTRAINT within_a_day CHECK ended_at > started_at AND ended_at <= addHours(started_at, 26),
    CONSTRAINT one_class CHECK class = 'usage_day'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toDate(subtractMilliseconds(ended_at, 1))
PRIMARY KEY access_ref
ORDER BY (access_ref, started_at, ended_at, direction, ip_version, source, collector_id)
SETTINGS index_granularity = 1024, non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60
