package schema

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// Access is how the roles of a store log in to a server.
type Access struct {
	Cluster Cluster
	// Networks are where clients may connect from. None: only the server's own host.
	Networks []netip.Prefix
	// Nodes are where the servers of a cluster connect to each other from, as
	// [RoleView] and with its password.
	Nodes []netip.Prefix
	// PasswordSHA256 is the SHA-256 of a role's password, in hexadecimal. A role
	// without one logs in with a TLS client certificate: a collector with the one
	// that it was enrolled with, griffierd's three with one of common name
	// "griffierd".
	PasswordSHA256 map[Role]string
}

var sha256Hex = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

// Statements returns what makes the roles of a migrated store on a server:
// users, settings, quotas, grants, row policies, and views that read as
// [RoleView]. They can be run again, and must be after each migration. No secret
// is in them but the hash of a password.
//
// TLS is the server's business: with certificates there is no other way to log
// in, and with passwords the server must listen on its TLS ports only.
func (a Access) Statements() ([]string, error) {
	if err := a.validate(); err != nil {
		return nil, fmt.Errorf("roles: %w", err)
	}
	migrations, err := readMigrations(migrationFiles, "migration")
	if err != nil {
		return nil, err
	}
	views, err := expiringViews(migrations)
	if err != nil {
		return nil, err
	}
	on := a.Cluster.on()
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, r := range Roles {
		user := r.User()
		add("CREATE SETTINGS PROFILE IF NOT EXISTS %s%s", user, on)
		add("ALTER SETTINGS PROFILE %s%s SETTINGS %s", user, on, settingsText(r))
		add("CREATE USER IF NOT EXISTS %s%s %s", user, on, a.identification(r))
		add("ALTER USER %s%s %s %s SETTINGS PROFILE '%s'", user, on, a.identification(r), a.hosts(r), user)
		add("REVOKE%s ALL ON *.* FROM %s", on, user)
		for _, privilege := range privilegesOf(r, a.Cluster) {
			add("GRANT%s %s TO %s", on, privilege, user)
		}
		if n := queriesPerHour[r]; n > 0 {
			add("CREATE QUOTA OR REPLACE %s%s KEYED BY user_name FOR INTERVAL 1 hour MAX queries = %d TO %s", user, on, n, user)
		}
	}
	for _, v := range views {
		add("ALTER TABLE %s%s MODIFY DEFINER = %s SQL SECURITY DEFINER", v.view, on, RoleView.User())
		tables := []string{v.table}
		if local := a.Cluster.Local(v.table); local != v.table {
			tables = []string{local}
		}
		hidden, shown := rowPolicies(v)
		for _, table := range tables {
			add("CREATE ROW POLICY OR REPLACE griffier_expiry%s ON %s FOR SELECT USING %s TO %s", on, table, v.readable, users(hidden))
			add("CREATE ROW POLICY OR REPLACE griffier_everything%s ON %s FOR SELECT USING 1 TO %s", on, table, users(shown))
		}
	}
	return out, nil
}

// rowPolicies returns for which roles a view's table hides what the view hides, and
// for which it shows everything that is stored: those who read whole rows, and those
// who only count what is left to drop, roll up or rewrite.
func rowPolicies(v expiringView) (hidden, shown []Role) {
	if v.view == "traffic.access_log" {
		return []Role{RoleView, RoleExecutor}, []Role{RoleOperator}
	}
	return []Role{RoleView}, []Role{RoleExecutor, RoleOperator}
}

func users(roles []Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = r.User()
	}
	return strings.Join(names, ", ")
}

func (a Access) validate() error {
	if err := a.Cluster.Validate(); err != nil {
		return err
	}
	for role, sum := range a.PasswordSHA256 {
		if !sha256Hex.MatchString(sum) {
			return fmt.Errorf("password of %s: want a SHA-256 as 64 hexadecimal digits", role)
		}
	}
	if a.Cluster != "" && (len(a.Nodes) == 0 || a.PasswordSHA256[RoleView] == "") {
		return errors.New("a cluster's servers need networks and a password for each other, as " + RoleView.User())
	}
	return nil
}

func (a Access) identification(r Role) string {
	if sum := a.PasswordSHA256[r]; sum != "" {
		return "IDENTIFIED WITH sha256_hash BY '" + strings.ToUpper(sum) + "'"
	}
	switch r {
	case RoleCollector:
		return "IDENTIFIED WITH ssl_certificate SAN 'URI:griffier://role/collector'"
	case RoleView:
		return "IDENTIFIED WITH ssl_certificate CN 'griffier_view'"
	default:
		return "IDENTIFIED WITH ssl_certificate CN 'griffierd'"
	}
}

func (a Access) hosts(r Role) string {
	networks := a.Networks
	if r == RoleView {
		if a.Cluster == "" {
			return "HOST NONE"
		}
		networks = a.Nodes
	}
	if len(networks) == 0 {
		return "HOST LOCAL"
	}
	quoted := make([]string, len(networks))
	for i, n := range networks {
		quoted[i] = "'" + n.Masked().String() + "'"
	}
	return "HOST IP " + strings.Join(quoted, ", ")
}

func settingsText(r Role) string {
	var parts []string
	for _, s := range settingsOf(r) {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("%s = '%s' %s", s.name, s.value, s.constraint)))
	}
	return strings.Join(parts, ", ")
}
