package engine_test

import (
	"os"
	"path/filepath"
	"testing"

	"griffier/schema/engine/enginetest"
)

// TestNothingReachesOutside tries what an injected statement would try.
func TestNothingReachesOutside(t *testing.T) {
	conn := enginetest.Start(t).Open(t, "")
	secret := filepath.Join(t.TempDir(), "secret.csv")
	if err := os.WriteFile(secret, []byte("a,b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustExec(t, conn, "CREATE TABLE inside (a String) ENGINE = MergeTree ORDER BY a")
	for name, sql := range map[string]string{
		"read a file":            "SELECT * FROM file('" + secret + "', 'CSV', 'a String, b String')",
		"write a file":           "INSERT INTO FUNCTION file('" + secret + ".out', 'CSV', 'a String') SELECT 'x'",
		"into outfile":           "SELECT 1 INTO OUTFILE '" + secret + ".out'",
		"file as a table":        "SELECT * FROM default.`" + secret + "`",
		"file engine":            "CREATE TABLE f (a String) ENGINE = File(CSV, '" + secret + "')",
		"filesystem database":    "CREATE DATABASE fs ENGINE = Filesystem('/')",
		"url":                    "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
		"url engine":             "CREATE TABLE u (a String) ENGINE = URL('http://127.0.0.1:1/', 'CSV')",
		"s3":                     "SELECT * FROM s3('http://127.0.0.1:1/bucket/key', 'CSV', 'a String')",
		"remote":                 "SELECT * FROM remote('127.0.0.1:1', system.one)",
		"executable":             "SELECT * FROM executable('x.sh', 'CSV', 'a String', (SELECT 1))",
		"mysql":                  "SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')",
		"insert from infile":     "INSERT INTO inside FROM INFILE '" + secret + "' FORMAT CSV",
		"backup to disk":         "BACKUP TABLE inside TO File('" + secret + ".backup')",
		"file function":          "SELECT file('" + secret + "')",
		"file function, quoted":  "SELECT `file`('" + secret + "')",
		"file function, escaped": "SELECT `fi\\x6ce`('" + secret + "')",
		"file function, applied": "SELECT * APPLY(file) FROM (SELECT '" + secret + "')",
		"file after a heredoc":   "SELECT $a$ ' $a$, file('" + secret + "') AS b, ' '",
		"file after odd quotes":  "SELECT \u2018 ' \u2019, file('" + secret + "') AS b, ' '",
		"create user":            "CREATE USER mallory",
		"turn off the engine":    "SYSTEM SHUTDOWN",
		"grant":                  "GRANT ALL ON *.* TO default",
		"file metadata function": "SELECT * FROM filesystem('/')",
	} {
		t.Run(name, func(t *testing.T) {
			if err := conn.Exec(t.Context(), sql); err == nil {
				t.Error("it worked")
			} else {
				t.Log(err)
			}
		})
	}
	left, err := filepath.Glob(secret + ".*")
	if err != nil || len(left) != 0 {
		t.Errorf("files were written: %v %v", left, err)
	}
}
