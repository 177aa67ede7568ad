-- 0001_traffic, 1 of 1
-- Traffic data: what the collectors measured, by access_ref only.
CREATE DATABASE IF NOT EXISTS traffic ON CLUSTER '{cluster}';

-- 0002_schema_migration, 1 of 1
-- Which migrations this store has had, and the exact text they had then.
CREATE TABLE IF NOT EXISTS traffic.schema_migration ON CLUSTER '{cluster}'
(
    number     UInt32,
    name       String,
    sha256     String,
    applied_at DateTime64(3, 'UTC')
)
ENGINE = ReplicatedMergeTree('/griffier/{database}/{table}/all', '{shard}-{replica}')
ORDER BY number
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- 0003_register, 1 of 1
-- Lines and persons: the only road from an access_ref to somebody.
CREATE DATABASE IF NOT EXISTS register ON CLUSTER '{cluster}';

-- 0004_retention_policy, 1 of 1
-- How long each class is readable. Rows are only ever added: the highest
-- generation of a class counts, so that a change applies to the next query.
-- A class without a row, or with present = false, is not readable at all.
-- What had expired before a change (expired_through) stays expired after it.
CREATE TABLE IF NOT EXISTS traffic.retention_policy ON CLUSTER '{cluster}'
(
    generation      UInt64,
    class           LowCardinality(String),
    present         Bool,
    period          String COMMENT 'ISO 8601 calendar period, as written',
    months          UInt32 COMMENT 'of the period: years and months',
    days            UInt32 COMMENT 'of the period: weeks and days',
    seconds         UInt64 COMMENT 'of the period: hours, minutes and seconds',
    zone            LowCardinality(String) COMMENT 'IANA zone whose calendar counts',
    purpose         String,
    basis           String,
    source          String,
    profile         LowCardinality(String),
    expired_through DateTime64(3, 'UTC'),
    written_at      DateTime64(3, 'UTC')
)
ENGINE = ReplicatedMergeTree('/griffier/{database}/{table}/all', '{shard}-{replica}')
ORDER BY (class, generation)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- 0005_clock_floor, 1 of 1
-- The newest time that the ledger vouches for. Expiry never uses an earlier
-- now, so a clock that is set back makes nothing readable again.
CREATE TABLE IF NOT EXISTS traffic.clock_floor ON CLUSTER '{cluster}'
(
    floor SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = ReplicatedAggregatingMergeTree('/griffier/{database}/{table}/all', '{shard}-{replica}')
ORDER BY tuple()
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- 0006_session_slice, 1 of 2
-- Connection times, cut at UTC midnight. The highest version of a key counts.
CREATE TABLE IF NOT EXISTS traffic.session_slice_local ON CLUSTER '{cluster}'
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
ENGINE = ReplicatedReplacingMergeTree('/griffier/{database}/{table}/{shard}', '{replica}', version)
PARTITION BY toDate(started_at)
ORDER BY (access_ref, started_at, session_id)
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 7776000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60;

-- 0006_session_slice, 2 of 2
CREATE TABLE IF NOT EXISTS traffic.session_slice ON CLUSTER '{cluster}' AS traffic.session_slice_local
ENGINE = Distributed('{cluster}', 'traffic', 'session_slice_local', cityHash64(access_ref));

-- 0007_assignment_slice, 1 of 2
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
CREATE TABLE IF NOT EXISTS traffic.assignment_slice_local ON CLUSTER '{cluster}'
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
ENGINE = ReplicatedReplacingMergeTree('/griffier/{database}/{table}/{shard}', '{replica}', version)
PARTITION BY toDate(started_at)
PRIMARY KEY (prefix_address, prefix_length, port_start, started_at)
ORDER BY (prefix_address, prefix_length, port_start, started_at, port_end, protocol, access_ref, inside_address, session_id, age_ms, source, collector_id)
SETTINGS index_granularity = 1024, replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 7776000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60;

-- 0007_assignment_slice, 2 of 2
CREATE TABLE IF NOT EXISTS traffic.assignment_slice ON CLUSTER '{cluster}' AS traffic.assignment_slice_local
ENGINE = Distributed('{cluster}', 'traffic', 'assignment_slice_local', cityHash64(prefix_address));

-- 0008_usage_bucket, 1 of 2
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
CREATE TABLE IF NOT EXISTS traffic.usage_bucket_local ON CLUSTER '{cluster}'
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
ENGINE = ReplicatedReplacingMergeTree('/griffier/{database}/{table}/{shard}', '{replica}')
PARTITION BY toDate(bucket_started_at)
PRIMARY KEY access_ref
ORDER BY (access_ref, direction, ip_version, counter_id, bucket_started_at, sampled_at)
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 7776000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60;

-- 0008_usage_bucket, 2 of 2
CREATE TABLE IF NOT EXISTS traffic.usage_bucket ON CLUSTER '{cluster}' AS traffic.usage_bucket_local
ENGINE = Distributed('{cluster}', 'traffic', 'usage_bucket_local', cityHash64(access_ref));

-- 0009_coverage_slice, 1 of 1
-- When each collector was collecting, and when it says that it was not.
CREATE TABLE IF NOT EXISTS traffic.coverage_slice ON CLUSTER '{cluster}'
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
ENGINE = ReplicatedReplacingMergeTree('/griffier/{database}/{table}/all', '{shard}-{replica}', version)
PARTITION BY toDate(started_at)
ORDER BY (collector_id, started_at, coverage_id)
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 7776000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60;

-- 0010_access_log_entry, 1 of 2
-- Who read traffic data of which line through the portal. Each closed hour is
-- digested into the ledger in the order of this table's key.
CREATE TABLE IF NOT EXISTS traffic.access_log_entry_local ON CLUSTER '{cluster}'
(
    entry_id    FixedString(16),
    happened_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    ended_at    DateTime64(3, 'UTC') COMMENT 'equal to happened_at: what expiry counts from' CODEC(Delta, ZSTD),
    actor       String COMMENT 'pseudonym of the caller',
    role        LowCardinality(String),
    action      LowCardinality(String) COMMENT 'the rpc',
    outcome     LowCardinality(String) COMMENT 'OK, or the reason of the refusal',
    request_id  String,
    access_refs Array(FixedString(16)),
    rows_read   UInt64,
    class       LowCardinality(String),
    CONSTRAINT ends_as_it_happens CHECK ended_at = happened_at,
    CONSTRAINT one_class CHECK class = 'access_log'
)
ENGINE = ReplicatedReplacingMergeTree('/griffier/{database}/{table}/{shard}', '{replica}')
PARTITION BY toDate(happened_at)
ORDER BY (happened_at, entry_id)
SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 7776000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60;

-- 0010_access_log_entry, 2 of 2
CREATE TABLE IF NOT EXISTS traffic.access_log_entry ON CLUSTER '{cluster}' AS traffic.access_log_entry_local
ENGINE = Distributed('{cluster}', 'traffic', 'access_log_entry_local', cityHash64(entry_id));

-- 0011_view_session, 1 of 1
-- traffic.session: the latest version of each row of class session, while it may be
-- read. A row expires at ended_at plus the class's calendar period, counted on
-- the wall clock of the policy's zone; now is never before the clock floor. The
-- filter runs after FINAL, so only the latest version's ended_at counts. Versions of
-- one row are in one partition, so FINAL need not look for them in others.
CREATE OR REPLACE VIEW traffic.session ON CLUSTER '{cluster}' AS
WITH
    (
        SELECT argMax((present, months, days, seconds, zone, expired_through), generation)
        FROM traffic.retention_policy
        WHERE class = 'session'
    ) AS policy,
    (
        SELECT max(floor) FROM traffic.clock_floor
    ) AS clock_floor,
    timezoneOffset(toTimeZone(ended_at, tupleElement(policy, 5))) AS offset_at_end,
    addDays(addMonths(addSeconds(ended_at, offset_at_end), tupleElement(policy, 2)), tupleElement(policy, 3)) AS wall_at_expiry,
    timezoneOffset(toTimeZone(subtractSeconds(wall_at_expiry, offset_at_end), tupleElement(policy, 5))) AS offset_at_expiry,
    addSeconds(subtractSeconds(wall_at_expiry, offset_at_expiry), tupleElement(policy, 4)) AS expires_at
SELECT
    session_id,
    access_ref,
    session_started_at,
    started_at,
    ended_at,
    open,
    version,
    end_cause,
    source,
    certainty,
    nas,
    nas_port,
    collector_id,
    class
FROM traffic.session_slice FINAL
WHERE tupleElement(policy, 1)
  AND ended_at > tupleElement(policy, 6)
  AND expires_at > greatest(now64(3, 'UTC'), clock_floor)
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- 0012_view_assignment, 1 of 1
-- traffic.assignment: the latest version of each row of class assignment, while it may be
-- read. A row expires at ended_at plus the class's calendar period, counted on
-- the wall clock of the policy's zone; now is never before the clock floor. The
-- filter runs after FINAL, so only the latest version's ended_at counts. Versions of
-- one row are in one partition and have one access_ref, so FINAL need not look
-- for them in others, nor beyond what an index selects.
CREATE OR REPLACE VIEW traffic.assignment ON CLUSTER '{cluster}' AS
WITH
    (
        SELECT argMax((present, months, days, seconds, zone, expired_through), generation)
        FROM traffic.retention_policy
        WHERE class = 'assignment'
    ) AS policy,
    (
        SELECT max(floor) FROM traffic.clock_floor
    ) AS clock_floor,
    timezoneOffset(toTimeZone(ended_at, tupleElement(policy, 5))) AS offset_at_end,
    addDays(addMonths(addSeconds(ended_at, offset_at_end), tupleElement(policy, 2)), tupleElement(policy, 3)) AS wall_at_expiry,
    timezoneOffset(toTimeZone(subtractSeconds(wall_at_expiry, offset_at_end), tupleElement(policy, 5))) AS offset_at_expiry,
    addSeconds(subtractSeconds(wall_at_expiry, offset_at_expiry), tupleElement(policy, 4)) AS expires_at
SELECT
    assignment_id,
    session_id,
    access_ref,
    prefix_address,
    prefix_length,
    port_start,
    port_end,
    protocol,
    inside_address,
    assignment_started_at,
    started_at,
    ended_at,
    open,
    version,
    end_cause,
    source,
    certainty,
    collector_id,
    class
FROM traffic.assignment_slice FINAL
WHERE tupleElement(policy, 1)
  AND ended_at > tupleElement(policy, 6)
  AND expires_at > greatest(now64(3, 'UTC'), clock_floor)
SETTINGS do_not_merge_across_partitions_select_final = 1, use_skip_indexes_if_final_exact_mode = 0;

-- 0013_view_usage, 1 of 1
-- traffic.usage, with who counted (readers never add the sources of one line):
-- the latest version of each row of class usage_5m, while it may be
-- read. A row expires at ended_at plus the class's calendar period, counted on
-- the wall clock of the policy's zone; now is never before the clock floor. The
-- filter runs after FINAL, so only the latest version's ended_at counts. Versions of
-- one row are in one partition, so FINAL need not look for them in others.
CREATE OR REPLACE VIEW traffic.usage ON CLUSTER '{cluster}' AS
WITH
    (
        SELECT argMax((present, months, days, seconds, zone, expired_through), generation)
        FROM traffic.retention_policy
        WHERE class = 'usage_5m'
    ) AS policy,
    (
        SELECT max(floor) FROM traffic.clock_floor
    ) AS clock_floor,
    timezoneOffset(toTimeZone(ended_at, tupleElement(policy, 5))) AS offset_at_end,
    addDays(addMonths(addSeconds(ended_at, offset_at_end), tupleElement(policy, 2)), tupleElement(policy, 3)) AS wall_at_expiry,
    timezoneOffset(toTimeZone(subtractSeconds(wall_at_expiry, offset_at_end), tupleElement(policy, 5))) AS offset_at_expiry,
    addSeconds(subtractSeconds(wall_at_expiry, offset_at_expiry), tupleElement(policy, 4)) AS expires_at
SELECT
    access_ref,
    bucket_started_at,
    ended_at,
    sampled_at,
    direction,
    ip_version,
    bytes,
    packets,
    cumulative_bytes,
    cumulative_packets,
    counter_id,
    collector_id,
    class,
    source
FROM traffic.usage_bucket FINAL
WHERE tupleElement(policy, 1)
  AND ended_at > tupleElement(policy, 6)
  AND expires_at > greatest(now64(3, 'UTC'), clock_floor)
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- 0014_view_coverage, 1 of 1
-- traffic.coverage: the latest version of each row of class coverage, while it may be
-- read. A row expires at ended_at plus the class's calendar period, counted on
-- the wall clock of the policy's zone; now is never before the clock floor. The
-- filter runs after FINAL, so only the latest version's ended_at counts. Versions of
-- one row are in one partition, so FINAL need not look for them in others.
CREATE OR REPLACE VIEW traffic.coverage ON CLUSTER '{cluster}' AS
WITH
    (
        SELECT argMax((present, months, days, seconds, zone, expired_through), generation)
        FROM traffic.retention_policy
        WHERE class = 'coverage'
    ) AS policy,
    (
        SELECT max(floor) FROM traffic.clock_floor
    ) AS clock_floor,
    timezoneOffset(toTimeZone(ended_at, tupleElement(policy, 5))) AS offset_at_end,
    addDays(addMonths(addSeconds(ended_at, offset_at_end), tupleElement(policy, 2)), tupleElement(policy, 3)) AS wall_at_expiry,
    timezoneOffset(toTimeZone(subtractSeconds(wall_at_expiry, offset_at_end), tupleElement(policy, 5))) AS offset_at_expiry,
    addSeconds(subtractSeconds(wall_at_expiry, offset_at_expiry), tupleElement(policy, 4)) AS expires_at
SELECT
    coverage_id,
    collector_id,
    state,
    cause,
    started_at,
    ended_at,
    open,
    version,
    boot_id,
    clock_offset_nanos,
    clock_synced,
    class
FROM traffic.coverage_slice FINAL
WHERE tupleElement(policy, 1)
  AND ended_at > tupleElement(policy, 6)
  AND expires_at > greatest(now64(3, 'UTC'), clock_floor)
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- 0015_view_access_log, 1 of 1
-- traffic.access_log: the latest version of each row of class access_log, while it may be
-- read. A row expires at ended_at plus the class's calendar period, counted on
-- the wall clock of the policy's zone; now is never before the clock floor. The
-- filter runs after FINAL, so only the latest version's ended_at counts. Versions of
-- one row are in one partition, so FINAL need not look for them in others.
CREATE OR REPLACE VIEW traffic.access_log ON CLUSTER '{cluster}' AS
WITH
    (
        SELECT argMax((present, months, days, seconds, zone, expired_through), generation)
        FROM traffic.retention_policy
        WHERE class = 'access_log'
    ) AS policy,
    (
        SELECT max(floor) FROM traffic.clock_floor
    ) AS clock_floor,
    timezoneOffset(toTimeZone(ended_at, tupleElement(policy, 5))) AS offset_at_end,
    addDays(addMonths(addSeconds(ended_at, offset_at_end), tupleElement(policy, 2)), tupleElement(policy, 3)) AS wall_at_expiry,
    timezoneOffset(toTimeZone(subtractSeconds(wall_at_expiry, offset_at_end), tupleElement(policy, 5))) AS offset_at_expiry,
    addSeconds(subtractSeconds(wall_at_expiry, offset_at_expiry), tupleElement(policy, 4)) AS expires_at
SELECT
    entry_id,
    happened_at,
    ended_at,
    actor,
    role,
    action,
    outcome,
    request_id,
    access_refs,
    rows_read,
    class
FROM traffic.access_log_entry FINAL
WHERE tupleElement(policy, 1)
  AND ended_at > tupleElement(policy, 6)
  AND expires_at > greatest(now64(3, 'UTC'), clock_floor)
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- 0016_line, 1 of 1
-- A line: what the customer has a contract for. The highest version counts.
CREATE TABLE IF NOT EXISTS register.line ON CLUSTER '{cluster}'
(
    line_id        String,
    account_id     String,
    time_zone      LowCardinality(String),
    billing_day    UInt8,
    contract_start DateTime64(3, 'UTC'),
    contract_end   DateTime64(3, 'UTC') COMMENT '2200-01-01: running',
    version        UInt64,
    INDEX by_account account_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplicatedReplacingMergeTree('/griffier/{database}/{table}/all', '{shard}-{replica}', version)
ORDER BY line_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60;

-- 0017_line_access, 1 of 1
-- Which line an access_ref belonged to, and when.
CREATE TABLE IF NOT EXISTS register.line_access ON CLUSTER '{cluster}'
(
    line_id    String,
    access_ref FixedString(16),
    valid_from DateTime64(3, 'UTC'),
    valid_to   DateTime64(3, 'UTC') COMMENT 'exclusive, 2200-01-01 while valid',
    version    UInt64,
    INDEX by_line line_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplicatedReplacingMergeTree('/griffier/{database}/{table}/all', '{shard}-{replica}', version)
ORDER BY (access_ref, line_id, valid_from)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60;

-- 0018_person, 1 of 1
-- Who a line belongs to, sealed under a key of its own, and the keyed hashes by
-- which a warrant that names a person or an address can be carried out.
CREATE TABLE IF NOT EXISTS register.person ON CLUSTER '{cluster}'
(
    line_id     String,
    key_id      String,
    ciphertext  String,
    blind_index Array(String),
    version     UInt64,
    INDEX by_blind_index blind_index TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplicatedReplacingMergeTree('/griffier/{database}/{table}/all', '{shard}-{replica}', version)
ORDER BY line_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60;

-- 0019_range, 1 of 1
-- Prefixes in use, by us (provider empty) or by a reseller, and which
-- collectors see them. IPv4 is stored v4-mapped.
CREATE TABLE IF NOT EXISTS register.range ON CLUSTER '{cluster}'
(
    prefix_address        IPv6,
    prefix_length         UInt8,
    provider              LowCardinality(String),
    collector_ids         Array(String),
    translation           UInt8 DEFAULT 0 COMMENT 'algorithm of a deterministic translator (RFC 7422), which keeps no record of a flow, 0 for none',
    inside_prefix_address IPv6 DEFAULT toIPv6('::'),
    inside_prefix_length  UInt8 DEFAULT 0,
    first_port            UInt16 DEFAULT 0,
    ports_per_subscriber  UInt16 DEFAULT 0,
    valid_from            DateTime64(3, 'UTC'),
    valid_to              DateTime64(3, 'UTC') COMMENT 'exclusive, 2200-01-01 while valid',
    version               UInt64
)
ENGINE = ReplicatedReplacingMergeTree('/griffier/{database}/{table}/all', '{shard}-{replica}', version)
ORDER BY (prefix_address, prefix_length, valid_from)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60;

