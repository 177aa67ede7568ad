// Package schema is the stored form of traffic data, shared by the collector,
// which writes it, and the api, which reads it.
//
// It holds the record types, the pseudonym that stands for an access line, the
// retention classes, the numbered ClickHouse migrations and the one way to open
// a store. It imports neither collector nor api.
//
// Nothing in it can hold a destination: there is no field and no column for one.
package schema
