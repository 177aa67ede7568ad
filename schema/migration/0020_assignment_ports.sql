-- What a translator adds: the protocol (IANA number) of a port or block, 0 for
-- every one, and its name for the subscriber, the inside address (IPv4 mapped,
-- :: where access_ref says who it is).
ALTER TABLE traffic.assignment_slice
    ADD COLUMN IF NOT EXISTS protocol UInt8 DEFAULT 0 AFTER port_end,
    ADD COLUMN IF NOT EXISTS inside_address IPv6 DEFAULT toIPv6('::') AFTER protocol
