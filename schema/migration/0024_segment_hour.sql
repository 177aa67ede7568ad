-- What a part of the network moved in an hour. The cells of an hour are a
-- partition of the network: segments with too few lines were merged, so there is
-- no remainder to subtract. Lines are rounded down to a multiple of five, volumes
-- to three digits. A day is inserted once, as one block, headed by a row without
-- segments that says so; no row is ever replaced.
CREATE TABLE IF NOT EXISTS statistics.segment_hour
(
    day          Date,
    hour         DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    segments     Array(LowCardinality(String)),
    lines        UInt64 CODEC(T64, ZSTD),
    bytes_up     UInt64 CODEC(T64, ZSTD),
    bytes_down   UInt64 CODEC(T64, ZSTD),
    packets_up   UInt64 CODEC(T64, ZSTD),
    packets_down UInt64 CODEC(T64, ZSTD),
    released_at  DateTime64(3, 'UTC') CODEC(Delta, ZSTD)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (day, hour, segments)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60
