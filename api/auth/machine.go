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
}

// Machine returns the caller of a client certificate that the TLS stack has
// already verified against the client CA. Its role is the URI SAN
// griffier://role/NAME; its subject the certificate's common name with it.
// The result is false when the certificate names no role.
func Machine(cert *x509.Certificate) (Caller, bool) {
	for _, uri := range cert.URIs {
		if uri.Scheme != "griffier" || uri.Host != "role" {
			continue
		}
		role, ok := machineRoles[strings.TrimPrefix(uri.Path, "/")]
		if !ok {
			continue
		}
		return Caller{
			Subject: uri.String() + "#" + cert.Subject.CommonName,
			Roles:   []griffierv1.Role{role},
			Machine: true,
		}, true
	}
	return Caller{}, false
}
