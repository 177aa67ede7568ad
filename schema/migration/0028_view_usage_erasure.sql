-- traffic.usage:
-- the latest version of each row of class usage_5m, while it may be
-- read. A row expires at ended_at plus the class's calendar period, counted on
-- the wall clock of the policy's zone; now is never before the clock floor. The
-- filter runs after FINAL, so only the latest version's ended_at counts. Versions of
-- one row are in one partition, so FINAL need not look for them in others.
-- What was erased (traffic.erasure) is left out.
CREATE OR REPLACE VIEW traffic.usage AS
WITH
    (
        SELECT argMax((present, months, days, seconds, zone, expired_through), generation)
        FROM traffic.retention_policy
        WHERE class = 'usage_5m'
    ) AS policy,
    (
        SELECT groupArray((subject, held_from, held_until)) FROM traffic.erasure
    ) AS tombstones,
    sipHash128(access_ref, toIPv6('::')) AS subject_of_row,
    (
        SELECT max(floor) FROM traffic.clock_floor
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
FROM traffic.usage_bucket FINAL
WHERE tupleElement(policy, 1)
  AND ended_at > tupleElement(policy, 6)
  AND expires_at > greatest(now64(3, 'UTC'), clock_floor)
  AND (subject_of_row NOT IN (SELECT subject FROM traffic.erasure)
    OR NOT arrayExists(t -> tupleElement(t, 1) = subject_of_row AND bucket_started_at >= tupleElement(t, 2) AND bucket_started_at < tupleElement(t, 3), tombstones))
SETTINGS do_not_merge_across_partitions_select_final = 1
