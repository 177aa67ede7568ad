-- traffic.assignment: the latest version of each row of class assignment, while it may be
-- read. A row expires at ended_at plus the class's calendar period, counted on
-- the wall clock of the policy's zone; now is never before the clock floor. The
-- filter runs after FINAL, so only the latest version's ended_at counts. Versions of
-- one row are in one partition and have one access_ref, so FINAL need not look
-- for them in others, nor beyond what an index selects.
-- What was erased is left out.
-- All that it depends on comes from traffic.gate, in one sub-query.
CREATE OR REPLACE VIEW traffic.assignment AS
WITH
    (
        SELECT
            (
                argMaxIf((present, months, days, seconds, zone, expired_through), generation, class = 'assignment'),
                greatest(now64(3, 'UTC'), max(floor)),
                groupArrayIf((subject, held_from, held_until), held_from < held_until)
            )
        FROM traffic.gate
        SETTINGS optimize_use_projections = 0, max_threads = 1
    ) AS gate,
    tupleElement(gate, 1) AS policy,
    tupleElement(gate, 2) AS store_now,
    timezoneOffset(toTimeZone(ended_at, tupleElement(policy, 5))) AS offset_at_end,
    addDays(addMonths(addSeconds(ended_at, offset_at_end), tupleElement(policy, 2)), tupleElement(policy, 3)) AS wall_at_expiry,
    timezoneOffset(toTimeZone(subtractSeconds(wall_at_expiry, offset_at_end), tupleElement(policy, 5))) AS offset_at_expiry,
    addSeconds(subtractSeconds(wall_at_expiry, offset_at_expiry), tupleElement(policy, 4)) AS expires_at,
    tupleElement(gate, 3) AS tombstones,
    tupleElement(tombstones, 1) AS subjects,
    sipHash128(access_ref, inside_address) AS subject_of_row
SELECT
    assignment_id,
    session_id,
    access_ref,
    prefix_address,
    prefix_length,
    port_start,
    port_end,
    protocol,
    inside_address,
    assignment_started_at,
    started_at,
    ended_at,
    open,
    version,
    end_cause,
    source,
    certainty,
    collector_id,
    class
FROM traffic.assignment_slice FINAL
WHERE tupleElement(policy, 1)
  AND ended_at > tupleElement(policy, 6)
  AND expires_at > store_now
  AND (empty(subjects) OR NOT has(subjects, subject_of_row)
    OR NOT arrayExists(t -> tupleElement(t, 1) = subject_of_row AND started_at >= tupleElement(t, 2) AND started_at < tupleElement(t, 3), tombstones))
SETTINGS do_not_merge_across_partitions_select_final = 1, use_skip_indexes_if_final_exact_mode = 0
