-- Who held which address, cut at UTC midnight, so that a look-up at an instant
-- reads one day back at most. IPv4 is stored v4-mapped: a.b.c.d/32 has length 128.
CREATE TABLE IF NOT EXISTS traffic.assignment_slice
(
    assignment_id         FixedString(16),
    session_id            FixedString(16),
    access_ref            FixedString(16),
    prefix_address        IPv6,
    prefix_length         UInt8,
    port_start            UInt16,
    port_end              UInt16,
    protocol              UInt8 DEFAULT 0 COMMENT 'IANA number of the protocol of the ports, 0 for every one',
    inside_address        IPv6 DEFAULT toIPv6('::') COMMENT 'a translator''s name for the subscriber, :: where access_ref says who it is',
    assignment_started_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    started_at            DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    ended_at              DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    open                  Bool,
    version               UInt64 CODEC(Delta, ZSTD),
    end_cause             LowCardinality(String),
    source                LowCardinality(String),
    certainty             LowCardinality(String),
    collector_id          LowCardinality(String),
    class                 LowCardinality(String),
    INDEX by_access_ref access_ref TYPE bloom_filter GRANULARITY 1,
    CONSTRAINT slice_in_one_day CHECK ended_at >= started_at AND ended_at <= addDays(toDateTime64(toDate(started_at), 3, 'UTC'), 1),
    CONSTRAINT one_class CHECK class = 'assignment'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toDate(started_at)
ORDER BY (prefix_address, prefix_length, started_at, assignment_id)
SETTINGS index_granularity = 1024, non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60
