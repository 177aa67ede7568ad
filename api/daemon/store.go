package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/schema"
	"griffier/schema/engine"
)

// store is the traffic store as each of griffierd's parts may use it. On a server
// with roles these are different users; elsewhere they are one connection.
type store struct {
	operator driver.Conn // policy, drops, proofs, and what has no user of its own
	executor driver.Conn // warrants, rights, the register, what is made from traffic
	portal   driver.Conn // what customers and support see; reads views
	close    []func() error
}

func (s *store) stop() error {
	var errs []error
	for i := len(s.close) - 1; i >= 0; i-- {
		errs = append(errs, s.close[i]())
	}
	return errors.Join(errs...)
}

// engineGrace is how long the engine may take to close.
const engineGrace = 30 * time.Second

// openStore starts the embedded engine, or finds the server, and migrates.
func openStore(ctx context.Context, c StoreConfig, log *slog.Logger) (s *store, err error) {
	s = &store{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
			s = nil
		}
	}()
	if c.DSN == "" {
		lib, err := engine.Fetch(ctx, os.Stderr)
		if err != nil {
			return s, err
		}
		e, err := engine.Start(ctx, engine.Config{DataDir: c.DataDir, SocketPath: c.Socket, LibPath: lib})
		if err != nil {
			return s, err
		}
		s.close = append(s.close, func() error {
			ctx, cancel := context.WithTimeout(context.Background(), engineGrace)
			defer cancel()
			return e.Close(ctx)
		})
	}
	if s.operator, err = s.open(ctx, c, "dsn_file", c.DSN, nil); err != nil {
		return s, err
	}
	if s.executor, err = s.open(ctx, c, "executor_dsn_file", c.ExecutorDSN, s.operator); err != nil {
		return s, err
	}
	if s.portal, err = s.open(ctx, c, "portal_dsn_file", c.PortalDSN, s.operator); err != nil {
		return s, err
	}
	err = schema.MigrateCluster(ctx, s.operator, schema.Cluster(c.Cluster), func(name string) {
		log.LogAttrs(ctx, slog.LevelInfo, "schema migrated", slog.String("migration", name))
	})
	if err != nil && c.DSN != "" {
		err = fmt.Errorf("%w; if the store's user may not change the schema, run griffierd -store-setup first", err)
	}
	return s, err
}

// open connects by the DSN in a file, or by the socket if there is no DSN at all.
// Without a file it is the same connection as another.
func (s *store) open(ctx context.Context, c StoreConfig, key, file string, same driver.Conn) (driver.Conn, error) {
	if file == "" && same != nil {
		return same, nil
	}
	where, err := c.where(key, file)
	if err != nil {
		return nil, err
	}
	conn, err := schema.Open(ctx, where)
	if err != nil {
		return nil, fmt.Errorf("store: %s: %w", key, err)
	}
	s.close = append(s.close, conn.Close)
	return conn, nil
}

// where reads a DSN file.
func (c StoreConfig) where(key, file string) (schema.Config, error) {
	if file == "" {
		return schema.Config{Socket: c.Socket}, nil
	}
	dsn, err := readSecret(file) // it has a password
	if err != nil {
		return schema.Config{}, fmt.Errorf("store: %s: %w", key, err)
	}
	return schema.Config{DSN: dsn, CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile}, nil
}
