-- Which migrations this store has had, and the exact text they had then.
CREATE TABLE IF NOT EXISTS traffic.schema_migration
(
    number     UInt32,
    name       String,
    sha256     String,
    applied_at DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY number
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
