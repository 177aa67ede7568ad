-- Prefixes in use, by us (provider empty) or by a reseller, and which
-- collectors see them. IPv4 is stored v4-mapped.
CREATE TABLE IF NOT EXISTS register.range
(
    prefix_address IPv6,
    prefix_length  UInt8,
    provider       LowCardinality(String),
    collector_ids  Array(String),
    valid_from     DateTime64(3, 'UTC'),
    valid_to       DateTime64(3, 'UTC') COMMENT 'exclusive, 2200-01-01 while valid',
    version        UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (prefix_address, prefix_length, valid_from)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60
