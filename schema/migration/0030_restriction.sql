-- Lines whose data is kept but not used (GDPR 18, and 21 while an objection is
-- judged): no look-up by support, no statistics; the person's own portal and a
-- warrant still read it. The highest version of a line counts.
CREATE TABLE IF NOT EXISTS register.restriction
(
    line_id    String,
    restricted Bool,
    ground     LowCardinality(String) COMMENT 'restriction or objection',
    since      DateTime64(3, 'UTC'),
    version    UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY line_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60
