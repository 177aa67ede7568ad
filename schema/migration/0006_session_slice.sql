-- Connection times, cut at UTC midnight. The highest version of a key counts.
CREATE TABLE IF NOT EXISTS traffic.session_slice
(
    session_id         FixedString(16),
    access_ref         FixedString(16),
    session_started_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    started_at         DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    ended_at           DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    open               Bool,
    version            UInt64 CODEC(Delta, ZSTD),
    end_cause          LowCardinality(String),
    source             LowCardinality(String),
    certainty          LowCardinality(String),
    nas                LowCardinality(String),
    nas_port           String CODEC(ZSTD),
    collector_id       LowCardinality(String),
    class              LowCardinality(String),
    CONSTRAINT slice_in_one_day CHECK ended_at >= started_at AND ended_at <= addDays(toDateTime64(toDate(started_at), 3, 'UTC'), 1),
    CONSTRAINT one_class CHECK class = 'session'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toDate(started_at)
ORDER BY (access_ref, started_at, session_id)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60
