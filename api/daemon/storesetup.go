package daemon

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"griffier/schema"
)

// StoreSetup is what an administrator decides about a ClickHouse server before
// griffierd and the collectors use it.
type StoreSetup struct {
	// AdminDSN is the file with the DSN of a user who may make databases, tables
	// and users. It is used now and not kept.
	AdminDSN string
	// Networks are where griffierd and the collectors connect from, Nodes where the
	// servers of a cluster connect to each other from.
	Networks, Nodes []netip.Prefix
	// PasswordDir, if given, holds a password for each role in ROLE.password, and
	// is given one of each that it lacks. Otherwise certificates are the way in.
	PasswordDir string
	// Print says what would run, and runs nothing.
	Print bool
}

// Setup makes the schema and the roles on the server that the store's
// configuration names, in the form for its cluster. It can be run again, and is
// after each upgrade. It says what it does on out.
func (o StoreSetup) Setup(ctx context.Context, c StoreConfig, out io.Writer) error {
	if c.DSN == "" {
		return errors.New("store setup: the embedded engine needs none; name a server in store.dsn_file")
	}
	access := schema.Access{Cluster: schema.Cluster(c.Cluster), Networks: o.Networks, Nodes: o.Nodes}
	if o.PasswordDir != "" {
		var err error
		if access.PasswordSHA256, err = passwords(o.PasswordDir, !o.Print); err != nil {
			return fmt.Errorf("store setup: %w", err)
		}
	}
	roles, err := access.Statements()
	if err != nil {
		return fmt.Errorf("store setup: %w", err)
	}
	if o.Print {
		migrations, err := schema.MigrationStatements(access.Cluster)
		if err != nil {
			return fmt.Errorf("store setup: %w", err)
		}
		for _, statement := range append(migrations, roles...) {
			fmt.Fprintf(out, "%s;\n\n", strings.TrimSpace(statement))
		}
		return nil
	}
	where, err := c.where("-store-admin", o.AdminDSN)
	if err != nil {
		return fmt.Errorf("store setup: %w", err)
	}
	conn, err := schema.Open(ctx, where)
	if err != nil {
		return fmt.Errorf("store setup: %w", err)
	}
	defer conn.Close()
	if err := schema.MigrateCluster(ctx, conn, access.Cluster, func(name string) { fmt.Fprintln(out, "migrating", name) }); err != nil {
		return fmt.Errorf("store setup: %w", err)
	}
	for i, statement := range roles {
		if err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("store setup: roles: statement %d of %d: %w", i+1, len(roles), err)
		}
	}
	fmt.Fprintf(out, "%d roles are in place\n", len(schema.Roles))
	var open uint64
	const anywhere = "SELECT count() FROM system.users WHERE name = 'default' AND (has(host_ip, '::/0') OR has(host_ip, '0.0.0.0/0'))"
	if err := conn.QueryRow(ctx, anywhere).Scan(&open); err == nil && open > 0 {
		fmt.Fprintln(out, "WARNING: user default may log in from any network; see STORE.md, “The server's own configuration”")
	}
	return nil
}

const passwordBytes = 32

// passwords reads the roles' passwords and returns their SHA-256; make writes
// those that are missing, for their owner only.
func passwords(dir string, make bool) (map[schema.Role]string, error) {
	sums := map[schema.Role]string{}
	for _, role := range schema.Roles {
		path := filepath.Join(dir, string(role)+".password")
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && make {
			var b [passwordBytes]byte
			_, _ = rand.Read(b[:]) // crypto/rand.Read never fails
			text = []byte(hex.EncodeToString(b[:]))
			err = os.WriteFile(path, append(text, '\n'), 0o600)
		}
		if err != nil {
			return nil, fmt.Errorf("password of %s: %w", role, err)
		}
		password := strings.TrimSpace(string(text))
		if len(password) < passwordBytes/2 {
			return nil, fmt.Errorf("password of %s: %s: shorter than %d characters", role, path, passwordBytes/2)
		}
		sums[role] = fmt.Sprintf("%x", sha256.Sum256([]byte(password)))
	}
	return sums, nil
}
