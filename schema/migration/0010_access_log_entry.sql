-- Who read traffic data of which line through the portal. Each closed hour is
-- digested into the ledger in the order of this table's key.
CREATE TABLE IF NOT EXISTS traffic.access_log_entry
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
ENGINE = ReplacingMergeTree
PARTITION BY toDate(happened_at)
ORDER BY (happened_at, entry_id)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60
