-- Bytes and packets of a line in a bucket of five minutes. One row per reading
-- of a counter; a row that arrives twice is one row.
CREATE TABLE IF NOT EXISTS traffic.usage_bucket
(
    access_ref         FixedString(16),
    bucket_started_at  DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    ended_at           DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    sampled_at         DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    direction          LowCardinality(String),
    ip_version         UInt8,
    bytes              UInt64 CODEC(T64, ZSTD),
    packets            UInt64 CODEC(T64, ZSTD),
    cumulative_bytes   UInt64 CODEC(Delta, ZSTD),
    cumulative_packets UInt64 CODEC(Delta, ZSTD),
    counter_id         FixedString(16),
    collector_id       LowCardinality(String),
    source             LowCardinality(String) DEFAULT 'kernel' COMMENT 'who counted: the kernel of a collector, or a BNG in RADIUS accounting',
    class              LowCardinality(String),
    CONSTRAINT bucket_of_five_minutes CHECK toUnixTimestamp64Milli(bucket_started_at) % 300000 = 0 AND ended_at = addSeconds(bucket_started_at, 300),
    CONSTRAINT one_class CHECK class = 'usage_5m'
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(bucket_started_at)
ORDER BY (access_ref, bucket_started_at, direction, ip_version, counter_id, sampled_at)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60
