-- Rows as a store of the first release has them: a policy of a year, an open
-- session in two versions, addresses of both kinds, shared ports, counters that
-- were sent twice, a gap, reads, lines, persons, ranges. Frozen with the release.
INSERT INTO traffic.retention_policy (generation, class, present, period, months, days, seconds, zone, purpose, basis, source, profile, expired_through, written_at)
SELECT 1, c, true, 'P1Y', 12, 0, 0, 'Europe/Amsterdam', 'faults and complaints', 'Tw 11.5', 'test', 'nl', toDateTime64(0, 3, 'UTC'), now64(3, 'UTC')
FROM (SELECT arrayJoin(['session', 'assignment', 'usage_5m', 'usage_day', 'coverage', 'access_log']) AS c);
INSERT INTO traffic.clock_floor (floor) SELECT now64(3, 'UTC') - INTERVAL 1 HOUR;
INSERT INTO traffic.session_slice (session_id, access_ref, session_started_at, started_at, ended_at, open, version, end_cause, source, certainty, nas, nas_port, collector_id, class)
SELECT unhex(leftPad(hex(number), 32, '1')), unhex(leftPad(hex(number % 50), 32, '2')), t, t, t + INTERVAL 30 MINUTE, number % 7 = 0, 1, 'cut', 'radius', 'observed', 'edge1', '100.200', 'c1', 'session'
FROM (SELECT number, toDateTime64(toDate(now('UTC')), 3, 'UTC') - INTERVAL 1 + number % 20 DAY + INTERVAL number % 40000 SECOND AS t FROM numbers(500));
INSERT INTO traffic.session_slice (session_id, access_ref, session_started_at, started_at, ended_at, open, version, end_cause, source, certainty, nas, nas_port, collector_id, class)
SELECT session_id, access_ref, session_started_at, started_at, ended_at + INTERVAL 1 HOUR, false, 2, 'cut', source, certainty, nas, nas_port, collector_id, class FROM traffic.session_slice WHERE open;
INSERT INTO traffic.assignment_slice (session_id, access_ref, prefix_address, prefix_length, port_start, port_end, protocol, inside_address, started_at, length_ms, age_ms, open, version, end_cause, source, certainty, collector_id)
SELECT unhex(leftPad(hex(number), 32, '1')), unhex(leftPad(hex(number % 50), 32, '2')),
    multiIf(number % 3 = 0, toIPv6(concat('::ffff:192.0.2.', toString(number % 50))), number % 3 = 1, toIPv6(concat('2001:db8:0:', hex(number % 50), '00::')), toIPv6('::ffff:203.0.113.7')),
    if(number % 3 = 1, 56, 128), if(number % 3 = 2, 1024 * (1 + number % 50), 0), if(number % 3 = 2, 1024 * (2 + number % 50) - 1, 65535), 0, toIPv6('::'),
    t, 1800000, 0, false, 1, 'cut', 'dhcpv4', 'observed', 'c1'
FROM (SELECT number, toDateTime64(toDate(now('UTC')), 3, 'UTC') - INTERVAL 1 + number % 20 DAY + INTERVAL number % 40000 SECOND AS t FROM numbers(500));
INSERT INTO traffic.usage_bucket (access_ref, bucket_started_at, sampled_at, direction, ip_version, moved_bytes, moved_packets, counter_bytes, counter_packets, counter_id, collector_id, source)
SELECT unhex(leftPad(hex(number % 50), 32, '2')), t, t + INTERVAL 10 SECOND, if(number % 2 = 0, 'up', 'down'), if(number % 4 < 2, 4, 6), number * 1000, number, number * 100000, number * 100,
    unhex(leftPad(hex(number % 50), 32, '4')), 'c1', 'kernel'
FROM (SELECT number, toDateTime64(toDate(now('UTC')), 3, 'UTC') - INTERVAL 1 + number % 20 DAY + INTERVAL 5 * (number % 200) MINUTE AS t FROM numbers(2000));
INSERT INTO traffic.usage_bucket (access_ref, bucket_started_at, sampled_at, direction, ip_version, byte_readings, packet_readings, counter_id, collector_id, source)
SELECT access_ref, bucket_started_at, sampled_at, direction, ip_version, byte_readings, packet_readings, counter_id, collector_id, source FROM traffic.usage_bucket WHERE ip_version = 6;
INSERT INTO traffic.coverage_slice (coverage_id, collector_id, state, cause, started_at, ended_at, open, version, boot_id, clock_offset_nanos, clock_synced, class)
SELECT unhex(leftPad(hex(number), 32, '5')), 'c1', if(number % 5 = 0, 'gap', 'covered'), if(number % 5 = 0, 'ring_drop', ''), t, t + INTERVAL 1 DAY, false, 1, 'boot', -1500, true, 'coverage'
FROM (SELECT number, toDateTime64(toDate(now('UTC')), 3, 'UTC') - INTERVAL 1 + number DAY AS t FROM numbers(20));
INSERT INTO traffic.access_log_entry (entry_id, happened_at, ended_at, actor, role, action, outcome, request_id, access_refs, rows_read, class)
SELECT unhex(leftPad(hex(number), 32, '6')), t, t, '00ff', 'customer', 'GetTotals', 'OK', 'r', [unhex(leftPad(hex(number % 50), 32, '2'))], number, 'access_log'
FROM (SELECT number, toDateTime64(toDate(now('UTC')), 3, 'UTC') - INTERVAL 1 + number % 20 DAY + INTERVAL number MINUTE AS t FROM numbers(100));
INSERT INTO register.line (line_id, account_id, time_zone, billing_day, contract_start, contract_end, version)
SELECT concat('l', toString(number)), concat('a', toString(intDiv(number, 2))), 'Europe/Amsterdam', 1 + number % 28, toDateTime64('2020-01-01 00:00:00', 3, 'UTC'), toDateTime64('2200-01-01 00:00:00', 3, 'UTC'), 1 FROM numbers(50);
INSERT INTO register.line_access (line_id, access_ref, valid_from, valid_to, version)
SELECT concat('l', toString(number)), unhex(leftPad(hex(number), 32, '2')), toDateTime64('2020-01-01 00:00:00', 3, 'UTC'), toDateTime64('2200-01-01 00:00:00', 3, 'UTC'), 1 FROM numbers(50);
INSERT INTO register.person (line_id, key_id, ciphertext, blind_index, version)
SELECT concat('l', toString(number)), concat('k', toString(number)), concat('sealed', toString(number)), [toString(number)], 1 FROM numbers(50);
INSERT INTO register.range (prefix_address, prefix_length, provider, collector_ids, valid_from, valid_to, version)
SELECT toIPv6('::ffff:192.0.2.0'), 120, '', ['c1'], toDateTime64('2020-01-01 00:00:00', 3, 'UTC'), toDateTime64('2200-01-01 00:00:00', 3, 'UTC'), 1;
