// Package dist is what is shipped beside griffierd and griffier: a systemd unit,
// the Debian package, and a configuration to begin with. Its tests hold all of
// that against the programs themselves.
package dist
