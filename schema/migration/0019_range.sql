-- Prefixes in use, by us (provider empty) or by a reseller, and which
-- collectors see them. IPv4 is stored v4-mapped.
CREATE TABLE IF NOT EXISTS register.range
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
ENGINE = ReplacingMergeTree(version)
ORDER BY (prefix_address, prefix_length, valid_from)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60
