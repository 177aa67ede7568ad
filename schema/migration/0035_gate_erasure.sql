-- What was erased so far.
INSERT INTO traffic.gate (subject, held_from, held_until)
SELECT subject, held_from, held_until
FROM traffic.erasure
