-- Its rows are in traffic.gate.
DROP TABLE IF EXISTS traffic.erasure
