-- The newest time that the ledger vouches for. Expiry never uses an earlier
-- now, so a clock that is set back makes nothing readable again.
CREATE TABLE IF NOT EXISTS traffic.clock_floor
(
    floor SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY tuple()
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
