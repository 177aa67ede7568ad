-- Who a line belongs to, sealed under a key of its own, and the keyed hashes by
-- which a warrant that names a person or an address can be carried out.
CREATE TABLE IF NOT EXISTS register.person
(
    line_id     String,
    key_id      String,
    ciphertext  String,
    blind_index Array(String),
    version     UInt64,
    INDEX by_blind_index blind_index TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
ORDER BY line_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60
