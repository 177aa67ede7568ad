// Package enrol gets the collector its client certificate, and renews it.
//
// A folder holds the identity: current is a symbolic link to a folder with the
// certificate, its key, who issued it, and by what its issuer, griffierd, is
// known. Replacing the link replaces all of them at once, so there is never a
// certificate without its key. The key of what is asked for is on disk before it
// is asked for: after a crash the same is asked again, and griffierd gives the
// same certificate.
//
// The certificate is the collector's proof to a ClickHouse server that asks for
// one (store.dsn_file with secure=true). A store that is a unix socket asks for
// none: there is nothing to enrol.
package enrol
