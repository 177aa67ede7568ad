-- Who held which address, cut at UTC midnight, so that a look-up at an instant
-- reads one day back at most. IPv4 is stored v4-mapped: a.b.c.d/32 has length 128.
-- The highest version of a key counts; rows that agree in the whole key are of one
-- assignment, so it needs no stored id: 16 random bytes were a third of a row.
--
-- Chosen by measurement (bytes a row on disk after merges; 2 to 2.4 million rows
-- each: a day of sessions, of blocks of ports, of single translated ports):
--                                                       sessions  blocks  ports
--   with assignment_id, three times, Delta                  60.4    49.8   38.0
--   id from the key, port_start in it, T64                  41.2    31.0   19.4
--   and start, length and age for three times               41.2    26.7   14.3
-- What is left of a session's row is 32 random bytes, of a block's 16.
-- port_start before started_at: a question names a port, and a shared address has
-- 64,000 of them but one day. Granules of 1024 rows: of 100 million rows in 60
-- days a question about a port reads 2 granules, one in each day.
-- by_access_ref is for the addresses of a line: 1.0 byte a row; of 50 million rows
-- in 30 days it leaves 1,099 of 48,840 granules, which the view's settings keep
-- FINAL from widening to 32,670 again.
-- The figures again: go run ./bench -run store -scale 1e8
CREATE TABLE IF NOT EXISTS traffic.assignment_slice
(
    prefix_address        IPv6 CODEC(ZSTD),
    prefix_length         UInt8 CODEC(ZSTD),
    port_start            UInt16 CODEC(ZSTD),
    port_end              UInt16 CODEC(ZSTD),
    protocol              UInt8 DEFAULT 0 COMMENT 'IANA number of the protocol of the ports, 0 for every one' CODEC(ZSTD),
    access_ref            FixedString(16) CODEC(ZSTD),
    inside_address        IPv6 DEFAULT toIPv6('::') COMMENT 'a translator''s name for the subscriber, :: where access_ref says who it is' CODEC(ZSTD),
    session_id            FixedString(16) CODEC(ZSTD),
    started_at            DateTime64(3, 'UTC') CODEC(T64, ZSTD),
    length_ms             UInt32 COMMENT 'of this slice' CODEC(T64, ZSTD),
    age_ms                UInt64 COMMENT 'of the whole assignment at started_at' CODEC(T64, ZSTD),
    open                  Bool CODEC(ZSTD),
    version               UInt64 CODEC(T64, ZSTD),
    end_cause             LowCardinality(String) CODEC(ZSTD),
    source                LowCardinality(String) CODEC(ZSTD),
    certainty             LowCardinality(String) CODEC(ZSTD),
    collector_id          LowCardinality(String) CODEC(ZSTD),
    class                 LowCardinality(String) DEFAULT 'assignment' CODEC(ZSTD),
    ended_at              DateTime64(3, 'UTC') ALIAS addMilliseconds(started_at, length_ms),
    assignment_started_at DateTime64(3, 'UTC') ALIAS subtractMilliseconds(started_at, age_ms),
    assignment_id         FixedString(16) ALIAS sipHash128(prefix_address, prefix_length, port_start, port_end, protocol, access_ref, inside_address, session_id, assignment_started_at, source, collector_id),
    INDEX by_access_ref access_ref TYPE bloom_filter GRANULARITY 1,
    CONSTRAINT slice_in_one_day CHECK toUnixTimestamp64Milli(started_at) % 86400000 + length_ms <= 86400000,
    CONSTRAINT one_class CHECK class = 'assignment'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toDate(started_at)
PRIMARY KEY (prefix_address, prefix_length, port_start, started_at)
ORDER BY (prefix_address, prefix_length, port_start, started_at, port_end, protocol, access_ref, inside_address, session_id, age_ms, source, collector_id)
SETTINGS index_granularity = 1024, non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60
