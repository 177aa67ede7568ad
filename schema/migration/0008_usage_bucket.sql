-- Bytes and packets of a line in a bucket of five minutes. One row per reading
-- of a counter; a row that arrives twice is one row.
--
-- A row is inserted as moved_* and counter_*, and stored as the two readings of the
-- counter that it lies between: before it in the low 64 bits, after it in the high.
-- One row's "after" is the next one's "before", so that of both only the difference
-- is left on disk, which is the bytes that a reader asks for.
--
-- Chosen by measurement (bytes a row on disk after merges; 2.3 million rows, 2,000
-- lines of four counters for a day, with a day's curve, or volumes at random):
--                                                        diurnal  random
--   bytes and cumulative_bytes, key by bucket               10.5    16.9
--   the same, key by counter, Delta and T64                  8.9    15.5
--   two readings in one, Delta(8)                            5.4     7.9
-- By counter before bucket: a counter's readings follow each other. A line's day is
-- within one or two granules either way; granules of 1024 rows measured the same
-- (a line's month out of 30 million rows in 30 days), so they are the default's 8192.
-- The figures again: go run ./bench -run size,store -scale 1e8
CREATE TABLE IF NOT EXISTS traffic.usage_bucket
(
    access_ref         FixedString(16) CODEC(ZSTD),
    bucket_started_at  DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD),
    ended_at           DateTime64(3, 'UTC') DEFAULT addSeconds(bucket_started_at, 300) CODEC(DoubleDelta, ZSTD),
    sampled_at         DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD),
    direction          LowCardinality(String) CODEC(ZSTD),
    ip_version         UInt8 CODEC(ZSTD),
    moved_bytes        UInt64 EPHEMERAL COMMENT 'since the reading before',
    moved_packets      UInt64 EPHEMERAL,
    counter_bytes      UInt64 EPHEMERAL COMMENT 'the counter at sampled_at',
    counter_packets    UInt64 EPHEMERAL,
    byte_readings      UInt128 DEFAULT bitOr(bitShiftLeft(toUInt128(counter_bytes), 64), toUInt128(counter_bytes - moved_bytes)) CODEC(Delta(8), ZSTD),
    packet_readings    UInt128 DEFAULT bitOr(bitShiftLeft(toUInt128(counter_packets), 64), toUInt128(counter_packets - moved_packets)) CODEC(Delta(8), ZSTD),
    bytes              UInt64 ALIAS toUInt64(bitShiftRight(byte_readings, 64)) - toUInt64(byte_readings),
    packets            UInt64 ALIAS toUInt64(bitShiftRight(packet_readings, 64)) - toUInt64(packet_readings),
    cumulative_bytes   UInt64 ALIAS toUInt64(bitShiftRight(byte_readings, 64)),
    cumulative_packets UInt64 ALIAS toUInt64(bitShiftRight(packet_readings, 64)),
    counter_id         FixedString(16) CODEC(ZSTD),
    collector_id       LowCardinality(String) CODEC(ZSTD),
    source             LowCardinality(String) DEFAULT 'kernel' COMMENT 'who counted: the kernel of a collector, or a BNG in RADIUS accounting' CODEC(ZSTD),
    class              LowCardinality(String) DEFAULT 'usage_5m' CODEC(ZSTD),
    CONSTRAINT bucket_of_five_minutes CHECK toUnixTimestamp64Milli(bucket_started_at) % 300000 = 0 AND ended_at = addSeconds(bucket_started_at, 300),
    CONSTRAINT one_class CHECK class = 'usage_5m'
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(bucket_started_at)
PRIMARY KEY access_ref
ORDER BY (access_ref, direction, ip_version, counter_id, bucket_started_at, sampled_at)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60
