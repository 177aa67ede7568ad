-- What was erased: rows of a subject that started in [held_from, held_until) are
-- unreadable from the moment that they are listed here, also those that come late,
-- and leave the disk within eight days. The subject is a hash of the reference, or of a
-- translator's inside address, and no longer leads to a line; it goes when every
-- class has expired what it could be about.
CREATE TABLE IF NOT EXISTS traffic.erasure
(
    subject    FixedString(16) COMMENT 'sipHash128(access_ref, inside_address)',
    held_from  DateTime64(3, 'UTC'),
    held_until DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (subject, held_from, held_until)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60
