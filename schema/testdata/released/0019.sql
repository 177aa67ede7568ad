CREATE TABLE register.line
(
    `line_id` String,
    `account_id` String,
    `time_zone` LowCardinality(String),
    `billing_day` UInt8,
    `contract_start` DateTime64(3, 'UTC'),
    `contract_end` DateTime64(3, 'UTC') COMMENT '2200-01-01: running',
    `version` UInt64,
    INDEX by_account account_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
ORDER BY line_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60, index_granularity = 8192;

CREATE TABLE register.line_access
(
    `line_id` String,
    `access_ref` FixedString(16),
    `valid_from` DateTime64(3, 'UTC'),
    `valid_to` DateTime64(3, 'UTC') COMMENT 'exclusive, 2200-01-01 while valid',
    `version` UInt64,
    INDEX by_line line_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (access_ref, line_id, valid_from)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60, index_granularity = 8192;

CREATE TABLE register.person
(
    `line_id` String,
    `key_id` String,
    `ciphertext` String,
    `blind_index` Array(String),
    `version` UInt64,
    INDEX by_blind_index blind_index TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
ORDER BY line_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60, index_granularity = 8192;

CREATE TABLE register.range
(
    `prefix_address` IPv6,
    `prefix_length` UInt8,
    `provider` LowCardinality(String),
    `collector_ids` Array(String),
    `translation` UInt8 DEFAULT 0 COMMENT 'algorithm of a deterministic translator (RFC 7422), which keeps no record of a flow, 0 for none',
    `inside_prefix_address` IPv6 DEFAULT toIPv6('::'),
    `inside_prefix_length` UInt8 DEFAULT 0,
    `first_port` UInt16 DEFAULT 0,
    `ports_per_subscriber` UInt16 DEFAULT 0,
    `valid_from` DateTime64(3, 'UTC'),
    `valid_to` DateTime64(3, 'UTC') COMMENT 'exclusive, 2200-01-01 while valid',
    `version` UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (prefix_address, prefix_length, valid_from)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60, index_granularity = 8192;

CREATE VIEW traffic.access_log
(
    `entry_id` FixedString(16),
    `happened_at` DateTime64(3, 'UTC'),
    `ended_at` DateTime64(3, 'UTC'),
    `actor` String,
    `role` LowCardinality(String),
    `action` LowCardinality(String),
    `outcome` LowCardinality(String),
    `request_id` String,
    `access_refs` Array(FixedString(16)),
    `rows_read` UInt64,
    `class` LowCardinality(String)
)
AS WITH
    (
        SELECT argMax((present, months, days, seconds, zone, expired_through), generation)
        FROM traffic.retention_policy
        WHERE class = 'access_log'
    ) AS policy,
    (
        SELECT max(floor)
        FROM traffic.clock_floor
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
FROM traffic.access_log_entry
FINAL
WHERE tupleElement(policy, 1) AND (ended_at > tupleElement(policy, 6)) AND (expires_at > greatest(now64(3, 'UTC'), clock_floor))
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE TABLE traffic.access_log_entry
(
    `entry_id` FixedString(16),
    `happened_at` DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `ended_at` DateTime64(3, 'UTC') COMMENT 'equal to happened_at: what expiry counts from' CODEC(Delta(8), ZSTD(1)),
    `actor` String COMMENT 'pseudonym of the caller',
    `role` LowCardinality(String),
    `action` LowCardinality(String) COMMENT 'the rpc',
    `outcome` LowCardinality(String) COMMENT 'OK, or the reason of the refusal',
    `request_id` String,
    `access_refs` Array(FixedString(16)),
    `rows_read` UInt64,
    `class` LowCardinality(String),
    CONSTRAINT ends_as_it_happens CHECK ended_at = happened_at,
    CONSTRAINT one_class CHECK class = 'access_log'
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(happened_at)
ORDER BY (happened_at, entry_id)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60, index_granularity = 8192;

CREATE VIEW traffic.assignment
(
    `assignment_id` FixedString(16),
    `session_id` FixedString(16),
    `access_ref` FixedString(16),
    `prefix_address` IPv6,
    `prefix_length` UInt8,
    `port_start` UInt16,
    `port_end` UInt16,
    `protocol` UInt8,
    `inside_address` IPv6,
    `assignment_started_at` DateTime64(3, 'UTC'),
    `started_at` DateTime64(3, 'UTC'),
    `ended_at` DateTime64(3, 'UTC'),
    `open` Bool,
    `version` UInt64,
    `end_cause` LowCardinality(String),
    `source` LowCardinality(String),
    `certainty` LowCardinality(String),
    `collector_id` LowCardinality(String),
    `class` LowCardinality(String)
)
AS WITH
    (
        SELECT argMax((present, months, days, seconds, zone, expired_through), generation)
        FROM traffic.retention_policy
        WHERE class = 'assignment'
    ) AS policy,
    (
        SELECT max(floor)
        FROM traffic.clock_floor
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
FROM traffic.assignment_slice
FINAL
WHERE tupleElement(policy, 1) AND (ended_at > tupleElement(policy, 6)) AND (expires_at > greatest(now64(3, 'UTC'), clock_floor))
SETTINGS do_not_merge_across_partitions_select_final = 1, use_skip_indexes_if_final_exact_mode = 0;

CREATE TABLE traffic.assignment_slice
(
    `prefix_address` IPv6 CODEC(ZSTD(1)),
    `prefix_length` UInt8 CODEC(ZSTD(1)),
    `port_start` UInt16 CODEC(ZSTD(1)),
    `port_end` UInt16 CODEC(ZSTD(1)),
    `protocol` UInt8 DEFAULT 0 COMMENT 'IANA number of the protocol of the ports, 0 for every one' CODEC(ZSTD(1)),
    `access_ref` FixedString(16) CODEC(ZSTD(1)),
    `inside_address` IPv6 DEFAULT toIPv6('::') COMMENT 'a translator\'s name for the subscriber, :: where access_ref says who it is' CODEC(ZSTD(1)),
    `session_id` FixedString(16) CODEC(ZSTD(1)),
    `started_at` DateTime64(3, 'UTC') CODEC(T64, ZSTD(1)),
    `length_ms` UInt32 COMMENT 'of this slice' CODEC(T64, ZSTD(1)),
    `age_ms` UInt64 COMMENT 'of the whole assignment at started_at' CODEC(T64, ZSTD(1)),
    `open` Bool CODEC(ZSTD(1)),
    `version` UInt64 CODEC(T64, ZSTD(1)),
    `end_cause` LowCardinality(String) CODEC(ZSTD(1)),
    `source` LowCardinality(String) CODEC(ZSTD(1)),
    `certainty` LowCardinality(String) CODEC(ZSTD(1)),
    `collector_id` LowCardinality(String) CODEC(ZSTD(1)),
    `class` LowCardinality(String) DEFAULT 'assignment' CODEC(ZSTD(1)),
    `ended_at` DateTime64(3, 'UTC') ALIAS addMilliseconds(started_at, length_ms),
    `assignment_started_at` DateTime64(3, 'UTC') ALIAS subtractMilliseconds(started_at, age_ms),
    `assignment_id` FixedString(16) ALIAS sipHash128(prefix_address, prefix_length, port_start, port_end, protocol, access_ref, inside_address, session_id, assignment_started_at, source, collector_id),
    INDEX by_access_ref access_ref TYPE bloom_filter GRANULARITY 1,
    CONSTRAINT slice_in_one_day CHECK ((toUnixTimestamp64Milli(started_at) % 86400000) + length_ms) <= 86400000,
    CONSTRAINT one_class CHECK class = 'assignment'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toDate(started_at)
PRIMARY KEY (prefix_address, prefix_length, port_start, started_at)
ORDER BY (prefix_address, prefix_length, port_start, started_at, port_end, protocol, access_ref, inside_address, session_id, age_ms, source, collector_id)
SETTINGS index_granularity = 1024, non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60;

CREATE TABLE traffic.clock_floor
(
    `floor` SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY tuple()
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE VIEW traffic.coverage
(
    `coverage_id` FixedString(16),
    `collector_id` LowCardinality(String),
    `state` LowCardinality(String),
    `cause` LowCardinality(String),
    `started_at` DateTime64(3, 'UTC'),
    `ended_at` DateTime64(3, 'UTC'),
    `open` Bool,
    `version` UInt64,
    `boot_id` LowCardinality(String),
    `clock_offset_nanos` Int64,
    `clock_synced` Bool,
    `class` LowCardinality(String)
)
AS WITH
    (
        SELECT argMax((present, months, days, seconds, zone, expired_through), generation)
        FROM traffic.retention_policy
        WHERE class = 'coverage'
    ) AS policy,
    (
        SELECT max(floor)
        FROM traffic.clock_floor
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
FROM traffic.coverage_slice
FINAL
WHERE tupleElement(policy, 1) AND (ended_at > tupleElement(policy, 6)) AND (expires_at > greatest(now64(3, 'UTC'), clock_floor))
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE TABLE traffic.coverage_slice
(
    `coverage_id` FixedString(16),
    `collector_id` LowCardinality(String),
    `state` LowCardinality(String),
    `cause` LowCardinality(String),
    `started_at` DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `ended_at` DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `open` Bool,
    `version` UInt64 CODEC(Delta(8), ZSTD(1)),
    `boot_id` LowCardinality(String),
    `clock_offset_nanos` Int64,
    `clock_synced` Bool,
    `class` LowCardinality(String),
    CONSTRAINT slice_in_one_day CHECK (ended_at >= started_at) AND (ended_at <= addDays(toDateTime64(toDate(started_at), 3, 'UTC'), 1)),
    CONSTRAINT one_class CHECK class = 'coverage'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toDate(started_at)
ORDER BY (collector_id, started_at, coverage_id)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60, index_granularity = 8192;

CREATE TABLE traffic.retention_policy
(
    `generation` UInt64,
    `class` LowCardinality(String),
    `present` Bool,
    `period` String COMMENT 'ISO 8601 calendar period, as written',
    `months` UInt32 COMMENT 'of the period: years and months',
    `days` UInt32 COMMENT 'of the period: weeks and days',
    `seconds` UInt64 COMMENT 'of the period: hours, minutes and seconds',
    `zone` LowCardinality(String) COMMENT 'IANA zone whose calendar counts',
    `purpose` String,
    `basis` String,
    `source` String,
    `profile` LowCardinality(String),
    `expired_through` DateTime64(3, 'UTC'),
    `written_at` DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (class, generation)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE TABLE traffic.schema_migration
(
    `number` UInt32,
    `name` String,
    `sha256` String,
    `applied_at` DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY number
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE VIEW traffic.session
(
    `session_id` FixedString(16),
    `access_ref` FixedString(16),
    `session_started_at` DateTime64(3, 'UTC'),
    `started_at` DateTime64(3, 'UTC'),
    `ended_at` DateTime64(3, 'UTC'),
    `open` Bool,
    `version` UInt64,
    `end_cause` LowCardinality(String),
    `source` LowCardinality(String),
    `certainty` LowCardinality(String),
    `nas` LowCardinality(String),
    `nas_port` String,
    `collector_id` LowCardinality(String),
    `class` LowCardinality(String)
)
AS WITH
    (
        SELECT argMax((present, months, days, seconds, zone, expired_through), generation)
        FROM traffic.retention_policy
        WHERE class = 'session'
    ) AS policy,
    (
        SELECT max(floor)
        FROM traffic.clock_floor
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
FROM traffic.session_slice
FINAL
WHERE tupleElement(policy, 1) AND (ended_at > tupleElement(policy, 6)) AND (expires_at > greatest(now64(3, 'UTC'), clock_floor))
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE TABLE traffic.session_slice
(
    `session_id` FixedString(16),
    `access_ref` FixedString(16),
    `session_started_at` DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `started_at` DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `ended_at` DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `open` Bool,
    `version` UInt64 CODEC(Delta(8), ZSTD(1)),
    `end_cause` LowCardinality(String),
    `source` LowCardinality(String),
    `certainty` LowCardinality(String),
    `nas` LowCardinality(String),
    `nas_port` String CODEC(ZSTD(1)),
    `collector_id` LowCardinality(String),
    `class` LowCardinality(String),
    CONSTRAINT slice_in_one_day CHECK (ended_at >= started_at) AND (ended_at <= addDays(toDateTime64(toDate(started_at), 3, 'UTC'), 1)),
    CONSTRAINT one_class CHECK class = 'session'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toDate(started_at)
ORDER BY (access_ref, started_at, session_id)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60, index_granularity = 8192;

CREATE VIEW traffic.usage
(
    `access_ref` FixedString(16),
    `bucket_started_at` DateTime64(3, 'UTC'),
    `ended_at` DateTime64(3, 'UTC'),
    `sampled_at` DateTime64(3, 'UTC'),
    `direction` LowCardinality(String),
    `ip_version` UInt8,
    `bytes` UInt64,
    `packets` UInt64,
    `cumulative_bytes` UInt64,
    `cumulative_packets` UInt64,
    `counter_id` FixedString(16),
    `collector_id` LowCardinality(String),
    `class` LowCardinality(String),
    `source` LowCardinality(String)
)
AS WITH
    (
        SELECT argMax((present, months, days, seconds, zone, expired_through), generation)
        FROM traffic.retention_policy
        WHERE class = 'usage_5m'
    ) AS policy,
    (
        SELECT max(floor)
        FROM traffic.clock_floor
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
FROM traffic.usage_bucket
FINAL
WHERE tupleElement(policy, 1) AND (ended_at > tupleElement(policy, 6)) AND (expires_at > greatest(now64(3, 'UTC'), clock_floor))
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE TABLE traffic.usage_bucket
(
    `access_ref` FixedString(16) CODEC(ZSTD(1)),
    `bucket_started_at` DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    `ended_at` DateTime64(3, 'UTC') DEFAULT addSeconds(bucket_started_at, 300) CODEC(DoubleDelta, ZSTD(1)),
    `sampled_at` DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    `direction` LowCardinality(String) CODEC(ZSTD(1)),
    `ip_version` UInt8 CODEC(ZSTD(1)),
    `moved_bytes` UInt64 EPHEMERAL COMMENT 'since the reading before',
    `moved_packets` UInt64 EPHEMERAL,
    `counter_bytes` UInt64 EPHEMERAL COMMENT 'the counter at sampled_at',
    `counter_packets` UInt64 EPHEMERAL,
    `byte_readings` UInt128 DEFAULT bitOr(bitShiftLeft(toUInt128(counter_bytes), 64), toUInt128(counter_bytes - moved_bytes)) CODEC(Delta(8), ZSTD(1)),
    `packet_readings` UInt128 DEFAULT bitOr(bitShiftLeft(toUInt128(counter_packets), 64), toUInt128(counter_packets - moved_packets)) CODEC(Delta(8), ZSTD(1)),
    `bytes` UInt64 ALIAS toUInt64(bitShiftRight(byte_readings, 64)) - toUInt64(byte_readings),
    `packets` UInt64 ALIAS toUInt64(bitShiftRight(packet_readings, 64)) - toUInt64(packet_readings),
    `cumulative_bytes` UInt64 ALIAS toUInt64(bitShiftRight(byte_readings, 64)),
    `cumulative_packets` UInt64 ALIAS toUInt64(bitShiftRight(packet_readings, 64)),
    `counter_id` FixedString(16) CODEC(ZSTD(1)),
    `collector_id` LowCardinality(String) CODEC(ZSTD(1)),
    `source` LowCardinality(String) DEFAULT 'kernel' COMMENT 'who counted: the kernel of a collector, or a BNG in RADIUS accounting' CODEC(ZSTD(1)),
    `class` LowCardinality(String) DEFAULT 'usage_5m' CODEC(ZSTD(1)),
    CONSTRAINT bucket_of_five_minutes CHECK ((toUnixTimestamp64Milli(bucket_started_at) % 300000) = 0) AND (ended_at = addSeconds(bucket_started_at, 300)),
    CONSTRAINT one_class CHECK class = 'usage_5m'
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(bucket_started_at)
PRIMARY KEY access_ref
ORDER BY (access_ref, direction, ip_version, counter_id, bucket_started_at, sampled_at)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60, index_granularity = 8192;

