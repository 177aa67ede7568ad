-- A day that nobody writes any more is merged into one part: a look-up then opens
-- the files of one part a day, and FINAL has nothing to look for. A late row has the
-- day merged once more, a day after it came.
ALTER TABLE traffic.usage_day_part MODIFY SETTING min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1
