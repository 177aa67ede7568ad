package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

func (a *app) backup() *cobra.Command {
	return noun("backup", "Make, list and check backups (restore with griffierd -restore)", a.backupCreate(), a.backupList(), a.backupVerify())
}

func (a *app) backupCreate() *cobra.Command {
	return &cobra.Command{Use: "create", Short: "Make a backup now, and a copy of the keys", Args: noArgs,
		Long: `Make a backup of the embedded store, the ledger, packages and holds in griffierd's
backup.dir, sealed under a key of its own, and a copy of the keys in backup.keys_dir.
griffierd makes one by itself every backup.every.`,
		RunE: func(c *cobra.Command, _ []string) error {
			made, err := a.makeBackup(c.Context())
			if err != nil {
				return err
			}
			return a.print(made, backupTable(made))
		}}
}

// makeBackup asks for a backup and says on stderr how far it is.
func (a *app) makeBackup(ctx context.Context) (*griffierv1.Backup, error) {
	stream, err := griffierv1.NewBackupServiceClient(a.server).CreateBackup(ctx, &griffierv1.CreateBackupRequest{})
	if err != nil {
		return nil, err
	}
	var made *griffierv1.Backup
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if m.GetBackup() != nil {
			made = m.GetBackup()
			continue
		}
		fmt.Fprintf(a.stderr, "%d of %d: %s\n", m.GetDone()+1, m.GetTotal(), m.GetPiece())
	}
	if made == nil {
		return nil, errors.New("backup create: griffierd ended without a backup")
	}
	return made, nil
}

func (a *app) backupList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List backups, newest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			resp, err := griffierv1.NewBackupServiceClient(a.server).ListBackups(c.Context(), &griffierv1.ListBackupsRequest{})
			if err != nil {
				return err
			}
			return a.print(resp, backupTable(resp.GetBackups()...))
		}}
}

func (a *app) backupVerify() *cobra.Command {
	return &cobra.Command{Use: "verify BACKUP", Short: "Read a whole backup and compare every hash and seal", Args: oneArg("BACKUP"),
		Long: `Read a whole backup and compare every hash and seal. Exit code 1 if it cannot be restored.`,
		RunE: func(c *cobra.Command, args []string) error {
			resp, err := griffierv1.NewBackupServiceClient(a.server).VerifyBackup(c.Context(), &griffierv1.VerifyBackupRequest{BackupId: args[0]})
			if err != nil {
				return err
			}
			if err := a.print(resp, backupTable(resp.GetBackup())); err != nil {
				return err
			}
			for _, p := range resp.GetProblems() {
				fmt.Fprintln(a.stderr, p)
			}
			if n := len(resp.GetProblems()); n > 0 {
				return failure{fmt.Errorf("backup verify: %d problems; make another backup", n), int(reason.ExitFailed)}
			}
			return nil
		}}
}

func backupTable(backups ...*griffierv1.Backup) table {
	t := table{header: []string{"backup", "made", "unreadable_by", "readable", "bytes", "pieces", "ledger_size"}}
	for _, b := range backups {
		t.add(b.GetBackupId(), at(b.GetMadeAt()), at(b.GetUnreadableBy()), strconv.FormatBool(b.GetReadable()), strconv.FormatUint(b.GetBytes(), 10),
			strconv.FormatUint(uint64(b.GetPieces()), 10), strconv.FormatUint(b.GetLedgerSize(), 10))
	}
	return t
}
