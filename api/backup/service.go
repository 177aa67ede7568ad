package backup

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

// Service implements BackupService. It is safe for concurrent use.
type Service struct {
	griffierv1.UnimplementedBackupServiceServer
	maker *Maker
}

// NewService returns the service of a maker.
func NewService(m *Maker) *Service { return &Service{maker: m} }

// CreateBackup implements BackupService. Reasons: NOT_CONFIGURED, CLOCK_UNTRUSTED,
// STORE_UNAVAILABLE.
func (s *Service) CreateBackup(_ *griffierv1.CreateBackupRequest, out grpc.ServerStreamingServer[griffierv1.CreateBackupResponse]) error {
	ctx := out.Context()
	m, err := s.maker.Create(ctx, func(piece string, done, total int) {
		// A caller who went away ends the context, which ends the backup.
		_ = out.Send(&griffierv1.CreateBackupResponse{Piece: piece, Done: uint32(done), Total: uint32(total)})
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, ErrNotConfigured):
		return notConfigured()
	case reason.Of(err) == reason.ClockUntrusted:
		return err
	case err != nil:
		return reason.Wrap(reason.StoreUnavailable, err)
	}
	return out.Send(&griffierv1.CreateBackupResponse{Backup: s.message(m)})
}

func notConfigured() error {
	return reason.New(reason.NotConfigured, "Set backup.dir and backup.keys_dir; of a ClickHouse server its own BACKUP is used.")
}

// ListBackups implements BackupService. A folder whose manifest cannot be read is
// listed by its name alone. Reasons: NOT_CONFIGURED.
func (s *Service) ListBackups(context.Context, *griffierv1.ListBackupsRequest) (*griffierv1.ListBackupsResponse, error) {
	if s.maker.Dir == "" {
		return nil, notConfigured()
	}
	folders, err := Folders(s.maker.Dir)
	if err != nil {
		return nil, err
	}
	out := &griffierv1.ListBackupsResponse{}
	for _, folder := range folders {
		m, _, err := readManifest(folder)
		if err != nil {
			out.Backups = append(out.Backups, &griffierv1.Backup{BackupId: filepath.Base(folder)})
			continue
		}
		out.Backups = append(out.Backups, s.message(m))
	}
	return out, nil
}

// VerifyBackup implements BackupService. Reasons: INVALID_REQUEST, NOT_FOUND,
// NOT_CONFIGURED.
func (s *Service) VerifyBackup(ctx context.Context, req *griffierv1.VerifyBackupRequest) (*griffierv1.VerifyBackupResponse, error) {
	if s.maker.Dir == "" {
		return nil, notConfigured()
	}
	if !idForm.MatchString(req.GetBackupId()) {
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "backup_id", Description: "is required, as griffier backup list shows it"})
	}
	m, problems, err := Verify(ctx, filepath.Join(s.maker.Dir, req.GetBackupId()), s.maker.Keys)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, fs.ErrNotExist):
		return nil, reason.New(reason.NotFound, "")
	case err != nil: // it is there and cannot be restored
		return &griffierv1.VerifyBackupResponse{Backup: &griffierv1.Backup{BackupId: req.GetBackupId()}, Problems: []string{err.Error()}}, nil
	}
	return &griffierv1.VerifyBackupResponse{Backup: s.message(m), Problems: problems}, nil
}

func (s *Service) message(m Manifest) *griffierv1.Backup {
	return &griffierv1.Backup{BackupId: m.ID, MadeAt: timestamppb.New(m.MadeAt), UnreadableBy: timestamppb.New(m.UnreadableBy),
		Readable: s.maker.Keys.State(keyID(m.ID)) == nil, Bytes: m.Bytes(), Pieces: uint32(len(m.Pieces)), LedgerSize: m.LedgerSize}
}
