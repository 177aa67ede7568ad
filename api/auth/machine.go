package auth

import (
	"crypto/x509"
	"strings"

	griffierv1 "griffier/proto/griffier/v1"
)

// machineRoles are the roles that a certificate can give. People's roles are
// not among them: a machine never acts as a legal officer.
var machineRoles = map[string]griffierv1.Role{
	"provisioner": griffierv1.Role_ROLE_PROVISIONER,
	"operator":    griffierv1.Role_ROLE_OPERATOR,
	"collector":   griffierv1.Role_ROLE_COLLECTOR,
}

// Machine returns the caller of a client certificate that the TLS stack has
// already verified against the client CA. Its role is the URI SAN
// griffier://role/NAME; its subject the certificate's common name with it. A
// collector is also told by its id, in the URI SAN griffier://collector/ID, and
// has none without one. The result is false when the certificate names no role.
func Machine(cert *x509.Certificate) (Caller, bool) {
	for _, uri := range cert.URIs {
		if uri.Scheme != "griffier" || uri.Host != "role" {
			continue
		}
		role, ok := machineRoles[strings.TrimPrefix(uri.Path, "/")]
		if !ok {
			continue
		}
		c := Caller{
			Subject: uri.String() + "#" + cert.Subject.CommonName,
			Roles:   []griffierv1.Role{role},
			Machine: true,
		}
		if role == griffierv1.Role_ROLE_COLLECTOR {
			if c.CollectorID = collectorID(cert); c.CollectorID == "" {
				return Caller{}, false
			}
			c.CertificateSerial = cert.SerialNumber.Text(16)
		}
		return c, true
	}
	return Caller{}, false
}

// collectorID returns the collector that a certificate names, or "" when it
// names none, or several.
func collectorID(cert *x509.Certificate) (id string) {
	for _, uri := range cert.URIs {
		if uri.Scheme != "griffier" || uri.Host != "collector" {
			continue
		}
		if id != "" {
			return ""
		}
		id = strings.TrimPrefix(uri.Path, "/")
	}
	return id
}
