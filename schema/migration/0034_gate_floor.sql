-- The clock floor so far, if there is one.
INSERT INTO traffic.gate (floor)
SELECT max(floor)
FROM traffic.clock_floor
HAVING count() > 0
