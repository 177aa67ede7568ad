package engine

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// What Fetch installs. The two digests are ours: they hold whatever the npm
// client was told.
const (
	// Package is the npm package that carries libchdb for this platform.
	Package = "@chdb/lib-linux-x64-gnu"
	// Version is its version.
	Version = "26.7.3-stable.1"

	packageIntegrity = "sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw=="
	packageBytes     = 177_817_999
	libraryName      = "libchdb.so"
	librarySHA256    = "36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5"
	libraryBytes     = 566_330_096
)

// ErrDigest is wrapped when what was downloaded is not what this version of
// Griffier was built for.
var ErrDigest = errors.New("the engine package does not have the expected digest")

// CacheDir returns where the engine library is kept: GRIFFIER_ENGINE_DIR if it
// is set, else a folder per version in the user's cache.
func CacheDir() (string, error) {
	if dir := os.Getenv("GRIFFIER_ENGINE_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("engine: cache folder: %w", err)
	}
	return filepath.Join(cache, "griffier", "engine", Version), nil
}

// Fetch makes sure that the engine library is cached and returns its path. If it
// is there, Fetch does nothing and says nothing. Otherwise it has the ordinary
// npm client download the package (178 MB), with whatever registry and proxy
// that client is configured for, checks it against a digest in this program,
// unpacks the library and moves it into place. Several processes may call it at
// once: one downloads, the others wait. Progress and npm's complaints go to
// progress, which may be nil.
func Fetch(ctx context.Context, progress io.Writer) (libPath string, err error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "", fmt.Errorf("engine: no embedded engine for %s/%s; use a ClickHouse server", runtime.GOOS, runtime.GOARCH)
	}
	dir, err := CacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, libraryName)
	if installed(path) == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("engine: cache folder: %w", err)
	}
	unlock, err := waitForLock(ctx, filepath.Join(dir, "fetch.lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if installed(path) == nil { // another process was faster
		return path, nil
	}
	if progress == nil {
		progress = io.Discard
	}
	if err := download(ctx, dir, path, progress); err != nil {
		return "", err
	}
	return path, installed(path)
}

// installed tells whether the library at path is one that Fetch put there. The
// digest was checked before it was moved there; here its size and that nobody
// else can write to it.
func installed(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("engine: library: %w", err)
	}
	if info.Size() != libraryBytes {
		return fmt.Errorf("engine: library %s has %d bytes, want %d", path, info.Size(), libraryBytes)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("engine: library %s is writable by others", path)
	}
	return nil
}

func download(ctx context.Context, dir, path string, progress io.Writer) error {
	work, err := os.MkdirTemp(dir, "fetch-")
	if err != nil {
		return fmt.Errorf("engine: fetch: %w", err)
	}
	defer os.RemoveAll(work)
	fmt.Fprintf(progress, "engine: fetching %s %s (%d MB) with npm\n", Package, Version, packageBytes/1_000_000)
	if err := npmPack(ctx, work, progress); err != nil {
		return err
	}
	archive, err := onlyArchive(work)
	if err != nil {
		return err
	}
	fmt.Fprintf(progress, "engine: checking and unpacking\n")
	unpacked := filepath.Join(work, libraryName)
	if err := unpack(ctx, archive, unpacked); err != nil {
		return err
	}
	if err := os.Rename(unpacked, path); err != nil {
		return fmt.Errorf("engine: fetch: %w", err)
	}
	if err := syncFolder(dir); err != nil {
		return fmt.Errorf("engine: fetch: %w", err)
	}
	fmt.Fprintf(progress, "engine: ready: %s\n", path)
	return nil
}

// npmPack downloads the package's archive into work.
func npmPack(ctx context.Context, work string, progress io.Writer) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("engine: fetch: npm is needed to fetch the database engine; install it, or put %s of %s %s into the cache folder: %w",
			libraryName, Package, Version, err)
	}
	var output strings.Builder
	cmd := exec.CommandContext(ctx, npm, "pack", "--silent", "--pack-destination", work, Package+"@"+Version)
	cmd.Dir = work
	cmd.Stdout = io.Discard
	cmd.Stderr = &output
	// npm starts children of its own; end them all when ctx does.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	stop := reportGrowth(progress, packageBytes, npmContent(ctx, npm), work)
	err = cmd.Run()
	stop()
	if err != nil {
		return fmt.Errorf("engine: fetch: npm pack: %w: %s", err, lastLines(output.String(), 5))
	}
	return nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}

func onlyArchive(work string) (string, error) {
	found, err := filepath.Glob(filepath.Join(work, "*.tgz"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("engine: fetch: npm left %d archives, want 1", len(found))
	}
	return found[0], nil
}

// unpack checks the archive's digest, then takes the library out of it and
// checks that one's.
func unpack(ctx context.Context, archive, target string) error {
	in, err := os.Open(archive)
	if err != nil {
		return fmt.Errorf("engine: unpack: %w", err)
	}
	defer in.Close()
	whole := sha512.New()
	if _, err := io.Copy(whole, contextReader{ctx, in}); err != nil {
		return fmt.Errorf("engine: unpack: %w", err)
	}
	if got := "sha512-" + base64.StdEncoding.EncodeToString(whole.Sum(nil)); got != packageIntegrity {
		return fmt.Errorf("engine: %w: package is %s, want %s", ErrDigest, got, packageIntegrity)
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("engine: unpack: %w", err)
	}
	compressed, err := gzip.NewReader(contextReader{ctx, in})
	if err != nil {
		return fmt.Errorf("engine: unpack: %w", err)
	}
	files := tar.NewReader(compressed)
	for {
		header, err := files.Next()
		if err != nil {
			return fmt.Errorf("engine: unpack: no %s in the package: %w", libraryName, err)
		}
		if header.Name == "package/"+libraryName && header.Typeflag == tar.TypeReg {
			return writeLibrary(target, files)
		}
	}
}

func writeLibrary(target string, from io.Reader) (err error) {
	out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o500)
	if err != nil {
		return fmt.Errorf("engine: unpack: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	digest := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, digest), io.LimitReader(from, libraryBytes+1))
	if err != nil {
		return fmt.Errorf("engine: unpack: %w", err)
	}
	if got := hex.EncodeToString(digest.Sum(nil)); n != libraryBytes || got != librarySHA256 {
		return fmt.Errorf("engine: %w: %s is %s, want %s", ErrDigest, libraryName, got, librarySHA256)
	}
	if err := out.Sync(); err != nil {
		return fmt.Errorf("engine: unpack: %w", err)
	}
	return nil
}

func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// contextReader stops reading when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
