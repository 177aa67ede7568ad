-- A range may be the outside of a deterministic translator (RFC 7422), which
-- keeps no record of a flow: who had which ports follows from these parameters.
-- translation 0 is none; numbers of algorithms never change their meaning.
ALTER TABLE register.range
    ADD COLUMN IF NOT EXISTS translation UInt8 DEFAULT 0 AFTER collector_ids,
    ADD COLUMN IF NOT EXISTS inside_prefix_address IPv6 DEFAULT toIPv6('::') AFTER translation,
    ADD COLUMN IF NOT EXISTS inside_prefix_length UInt8 DEFAULT 0 AFTER inside_prefix_address,
    ADD COLUMN IF NOT EXISTS first_port UInt16 DEFAULT 0 AFTER inside_prefix_length,
    ADD COLUMN IF NOT EXISTS ports_per_subscriber UInt16 DEFAULT 0 AFTER first_port
