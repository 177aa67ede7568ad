// Package schema is the stored form of traffic data, shared by the collector,
// which writes it, and the api, which reads it.
//
// It holds the record types, the pseudonym that stands for an access line, the
// retention classes and their policy, the numbered ClickHouse migrations and the
// one way to open a store. It imports neither collector nor api.
//
// Nothing in it can hold a destination: there is no field and no column for one.
//
// # Reading
//
// Readers use the views traffic.session, assignment, usage, usage_day,
// coverage and access_log, never the tables behind them. A view shows the latest version of
// each row, and only while its class's policy lets it be read: until
// [Period.After] its ended_at, judged at [Now]. A class without a policy shows
// nothing. Columns are named as the records' JSON fields; a prefix is the two
// columns of [PrefixColumns], and a reference is compared as
//
//	access_ref = unhex(?) -- with AccessRef.String()
//
// and scanned into *AccessRef. Slices never cross UTC midnight, so what holds at
// instant t started in the day before it:
//
//	started_at > t - 24h AND started_at <= t AND ended_at > t
//
// With these conditions look-ups go by the tables' sort keys: an assignment by
// prefix_address and prefix_length (see [CoveringPrefixes]), sessions and usage
// by access_ref, coverage by collector_id. Tables of database register hold
// versions too and are read with FINAL.
//
// # Expiry
//
// A row is gone for readers at the instant its period ends. [DropDay] takes it
// off the disk with its whole day, within 24 hours ([Policy.DayExpiresAt]).
package schema
