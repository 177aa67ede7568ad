-- traffic.coverage: the latest version of each row of class coverage, while it may be
-- read. A row expires at ended_at plus the class's calendar period, counted on
-- the wall clock of the policy's zone; now is never before the clock floor. The
-- filter runs after FINAL, so only the latest version's ended_at counts. Versions of
-- one row are in one partition, so FINAL need not look for them in others.
-- All that it depends on comes from traffic.gate, in one sub-query.
CREATE OR REPLACE VIEW traffic.coverage AS
WITH
    (
        SELECT
            (
                argMaxIf((present, months, days, seconds, zone, expired_through), generation, class = 'coverage'),
                greatest(now64(3, 'UTC'), max(floor))
            )
        FROM traffic.gate
        SETTINGS optimize_use_projections = 0, max_threads = 1
    ) AS gate,
    tupleElement(gate, 1) AS policy,
    tupleElement(gate, 2) AS store_now,
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
  AND expires_at > store_now
SETTINGS do_not_merge_across_partitions_select_final = 1
