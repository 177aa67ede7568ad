-- What may be read now: the policy of each class, the clock floor, and what was
-- erased, in one small table. Every view asks it once in every question, and a
-- scalar sub-query costs a millisecond or two whatever it finds: of a look-up that
-- took 12.5 ms on an empty store three of them and a set took 5.
--
-- Three kinds of rows, told apart by what is not empty in them:
--   a policy   class and generation. Rows are only ever added: the highest
--              generation of a class counts, so that a change applies to the next
--              query. A class without a row, or with present = false, is not
--              readable at all. What had expired before a change
--              (expired_through) stays expired after it.
--   the floor  The newest time that the ledger vouches for. Expiry never uses an
--              earlier now, so a clock that is set back makes nothing readable again.
--   tombstones Rows of a subject that started in [held_from, held_until) are
--              unreadable from the moment that they are listed here, also those
--              that come late, and leave the disk within eight days. The subject is
--              a hash of the reference, or of a translator's inside address, and no
--              longer leads to a line; it goes when every class has expired what it
--              could be about.
-- Parts are merged within a minute or two: each one that there is costs every look-up.
CREATE TABLE IF NOT EXISTS traffic.gate
(
    class           LowCardinality(String),
    generation      UInt64,
    present         Bool,
    period          String COMMENT 'ISO 8601 calendar period, as written',
    months          UInt32 COMMENT 'of the period: years and months',
    days            UInt32 COMMENT 'of the period: weeks and days',
    seconds         UInt64 COMMENT 'of the period: hours, minutes and seconds',
    zone            LowCardinality(String) COMMENT 'IANA zone whose calendar counts',
    purpose         String,
    basis           String,
    source          String,
    profile         LowCardinality(String),
    expired_through DateTime64(3, 'UTC'),
    written_at      DateTime64(3, 'UTC'),
    floor           DateTime64(3, 'UTC'),
    subject         FixedString(16) COMMENT 'sipHash128(access_ref, inside_address)',
    held_from       DateTime64(3, 'UTC'),
    held_until      DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(floor)
ORDER BY (class, generation, subject, held_from, held_until)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60, min_age_to_force_merge_seconds = 60
