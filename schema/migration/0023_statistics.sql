-- Anonymised volumes, which outlive the traffic data: nothing in here is about
-- fewer than ten lines, so no class expires it.
CREATE DATABASE IF NOT EXISTS statistics
