package schema_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/schema"
)

// sqlText returns the text of an expression that is made of string literals and
// of constants of its package, and whether that is all that it is made of.
func sqlText(e ast.Expr, constants map[string]string) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "", false
		}
		text, err := strconv.Unquote(e.Value)
		return text, err == nil
	case *ast.ParenExpr:
		return sqlText(e.X, constants)
	case *ast.Ident:
		text, known := constants[e.Name]
		return text, known
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			return "", false
		}
		x, whole := sqlText(e.X, constants)
		y, too := sqlText(e.Y, constants)
		return x + y, whole && too
	}
	return "", false
}

var startsSQL = regexp.MustCompile(`^\s*(SELECT|WITH|INSERT INTO)\s`)

// statements returns the SQL of the product's source, by where it is, and where
// there is SQL with parts that only a running program knows.
func statements(t *testing.T) (whole map[string]string, partly []string) {
	t.Helper()
	whole = map[string]string{}
	for _, root := range []string{"../api", "../collector", "../schema"} {
		perDir := map[string][]*ast.File{}
		set := token.NewFileSet()
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(set, path, nil, 0)
			perDir[filepath.Dir(path)] = append(perDir[filepath.Dir(path)], file)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, files := range perDir {
			constants := map[string]string{}
			for _, f := range files {
				ast.Inspect(f, func(n ast.Node) bool {
					if spec, ok := n.(*ast.ValueSpec); ok {
						for i, name := range spec.Names {
							if i < len(spec.Values) {
								if text, ok := sqlText(spec.Values[i], constants); ok {
									constants[name.Name] = text
								}
							}
						}
					}
					return true
				})
			}
			for _, f := range files {
				ast.Inspect(f, func(n ast.Node) bool {
					e, ok := n.(ast.Expr)
					if !ok {
						return true
					}
					switch e.(type) {
					case *ast.BasicLit, *ast.BinaryExpr:
					default:
						return true
					}
					text, all := sqlText(e, constants)
					if !startsSQL.MatchString(text) || !regexp.MustCompile(`\b(traffic|register|statistics)\.\w`).MatchString(text) {
						return true
					}
					where := set.Position(e.Pos()).String()
					if !all || strings.Contains(text, "%s") {
						partly = append(partly, where)
						return false
					}
					whole[where] = text
					return false
				})
			}
		}
	}
	return whole, partly
}

var (
	parameter = regexp.MustCompile(`\{\w+:([^{}]*)\}`)
	intoTable = regexp.MustCompile(`(?s)^INSERT INTO (\w+\.\w+)\s*(?:\(([^()]*)\))?\s*(.*)$`)
)

// valued puts values in the place of parameters.
func valued(text string) string {
	text = parameter.ReplaceAllStringFunc(text, func(p string) string {
		switch kind := parameter.FindStringSubmatch(p)[1]; kind {
		case "Array(UInt32)", "Array(UInt64)":
			return "[1, 2]" // boundaries
		case "String":
			return "'::'" // an address, or no number in hexadecimal
		default:
			return "defaultValueOfTypeName('" + kind + "')"
		}
	})
	for before, value := range map[string]string{"unhex(?": "unhex('00'", "toIPv6(?": "toIPv6('::'", "class = ?": "class = ''"} {
		text = strings.ReplaceAll(text, before, value)
	}
	return strings.ReplaceAll(text, "?", "0")
}

// misfit reports whether a plan failed for what the statement names or how it is
// put together, and not for a value that the test made up.
func misfit(err error) bool {
	for _, code := range []string{"UNKNOWN_", "NO_SUCH_COLUMN", "SYNTAX_ERROR", "NOT_IMPLEMENTED", "ILLEGAL_FINAL", "DISTRIBUTED_IN_JOIN", "NOT_AN_AGGREGATE", "AMBIGUOUS", "TYPE_MISMATCH"} {
		if strings.Contains(err.Error(), code) {
			return true
		}
	}
	return false
}

func plan(ctx context.Context, conn driver.Conn, statement string) error {
	rows, err := conn.Query(ctx, statement)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}

// TestEveryStatementOnDistributed has the engine plan each statement of the
// product's source against Distributed tables: names, columns and types.
func TestEveryStatementOnDistributed(t *testing.T) {
	ctx, conn := schema.NewDistributedStore(t)
	whole, partly := statements(t)
	planned := 0
	try := func(where, query string) {
		err := plan(ctx, conn, "EXPLAIN "+query)
		switch {
		case err == nil:
			planned++
		case misfit(err):
			t.Errorf("%s: %v\n%s", where, err, query)
		default:
			t.Logf("%s: not planned, with the values that the test made up: %v", where, err)
		}
	}
	for where, text := range whole {
		text = strings.TrimSpace(text)
		if m := intoTable.FindStringSubmatch(text); m != nil {
			if m[2] != "" {
				try(where, "SELECT "+m[2]+" FROM "+m[1])
			}
			if text = m[3]; !startsSQL.MatchString(text) {
				continue
			}
		}
		if strings.HasSuffix(text, "WHERE") || strings.HasSuffix(text, "FROM") { // the rest is said elsewhere
			partly = append(partly, where)
			continue
		}
		try(where, valued(text))
	}
	t.Logf("%d statements were planned; %d have parts that only a running program knows: %v", planned, len(partly), partly)
	if planned < 30 {
		t.Errorf("only %d of %d statements were planned", planned, len(whole))
	}
	if err := plan(ctx, conn, "EXPLAIN SELECT none FROM traffic.session"); err == nil || !misfit(err) {
		t.Errorf("a column that is not there: %v", err)
	}
}
