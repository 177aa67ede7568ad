package doctor

import (
	"context"
	"errors"
	"time"

	"griffier/schema"
)

// checkStore opens the store and compares its schema with this program's.
func checkStore(ctx context.Context, s *system) Finding {
	where, err := s.config.Where()
	if err != nil {
		return Finding{Status: Fail, Found: "the store is not configured", Cause: err.Error(), Cure: "set store.socket or store.dsn_file"}
	}
	start := time.Now()
	conn, err := schema.Open(ctx, where)
	if err != nil {
		cure := "start griffierd, which serves this socket; the collector's user must be its owner's or root"
		if where.Socket == "" {
			cure = "try the server from here: nc -zv HOST PORT; then look at user, password and certificate in store.dsn_file"
		}
		return Finding{Status: Fail, Found: "the store does not answer", Cause: err.Error(), Cure: cure}
	}
	defer conn.Close()
	took := time.Since(start)
	version, err := conn.ServerVersion()
	if err != nil {
		return Finding{Status: Fail, Found: "the store does not tell its version", Cause: err.Error(), Cure: "look at the store's own log"}
	}
	applied, known, err := schema.Applied(ctx, conn)
	switch {
	case errors.Is(err, schema.ErrStoreNewer):
		return Finding{Status: Fail, Found: "the store's schema is newer than this collector", Cause: err.Error(),
			Cure: "upgrade the collector: apt install griffier-collector"}
	case err != nil:
		return Finding{Status: Fail, Found: "the store's schema cannot be read", Cause: err.Error(),
			Cure: "the collector's store user needs SELECT on traffic.schema_migration and system.tables"}
	case applied < known:
		return Finding{Status: Fail, Found: "the store's schema is older than this collector",
			Cause: "it lacks migrations that this version writes by",
			Cure:  "upgrade and restart griffierd, which migrates when it starts"}
	}
	return pass("ClickHouse %d.%d.%d, %d migrations, answered in %v", version.Version.Major, version.Version.Minor, version.Version.Patch, applied, round(took))
}
