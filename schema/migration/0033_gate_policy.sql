-- The policies so far.
INSERT INTO traffic.gate (class, generation, present, period, months, days, seconds, zone, purpose, basis, source, profile, expired_through, written_at)
SELECT class, generation, present, period, months, days, seconds, zone, purpose, basis, source, profile, expired_through, written_at
FROM traffic.retention_policy
