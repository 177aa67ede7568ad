-- Lines of employees and their households, which staff neither look up nor disclose
-- (conflict of interest). A line is a keyed hash of its id: this table alone tells
-- nobody where an employee lives. The highest version counts.
CREATE TABLE IF NOT EXISTS register.staff_line
(
    line_tag String COMMENT 'HMAC of the line id under the register key, hexadecimal',
    actor    String COMMENT 'pseudonym of the employee',
    listed   Bool,
    version  UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (line_tag, actor)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60
