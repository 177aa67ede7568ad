-- A line: what the customer has a contract for. The highest version counts.
CREATE TABLE IF NOT EXISTS register.line
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
ENGINE = ReplacingMergeTree(version)
ORDER BY line_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60
