// Package stamp asks a time-stamping authority (RFC 3161) to confirm that a digest
// existed at a time, and verifies what it confirmed against roots that the
// verifier trusts. A token says when without any trust in the provider's clock or
// ledger.
//
// Request, response and TSTInfo are read here with encoding/asn1; the signed
// message around TSTInfo is CMS and read by pkcs7.
package stamp
