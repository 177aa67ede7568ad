-- When each collector was collecting, and when it says that it was not.
CREATE TABLE IF NOT EXISTS traffic.coverage_slice
(
    coverage_id        FixedString(16),
    collector_id       LowCardinality(String),
    state              LowCardinality(String),
    cause              LowCardinality(String),
    started_at         DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    ended_at           DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    open               Bool,
    version            UInt64 CODEC(Delta, ZSTD),
    boot_id            LowCardinality(String),
    clock_offset_nanos Int64,
    clock_synced       Bool,
    class              LowCardinality(String),
    CONSTRAINT slice_in_one_day CHECK ended_at >= started_at AND ended_at <= addDays(toDateTime64(toDate(started_at), 3, 'UTC'), 1),
    CONSTRAINT one_class CHECK class = 'coverage'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toDate(started_at)
ORDER BY (collector_id, started_at, coverage_id)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60
