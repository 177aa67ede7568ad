package schema_test

import (
	"bytes"
	"encoding/json"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// listed is what `go list` tells of a package.
type listed struct {
	ImportPath  string
	Dir         string
	Doc         string
	GoFiles     []string
	Imports     []string
	TestImports []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,GoFiles,Imports,TestImports", "griffier/...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 20 {
		t.Fatalf("found %d packages, want the whole tree", len(all))
	}
	return all
}

// A rule forbids packages below from to import, directly, packages that start
// with any of to.
type rule struct {
	from string
	to   []string
	why  string
}

var arrows = []rule{
	{"griffier/collector", []string{"griffier/api"}, "collector and api never import each other"},
	{"griffier/api", []string{"griffier/collector", "griffier/bpf"}, "collector and api never import each other"},
	{"griffier/schema", []string{"griffier/api", "griffier/collector", "griffier/bpf"}, "schema is shared by both"},
	{"griffier/proto", []string{"griffier/"}, "proto imports nothing of ours"},
	{"griffier/bpf", []string{"griffier/api", "griffier/collector", "griffier/schema"}, "bpf knows the kernel only"},
}

// pure packages decide: no gRPC services, no SQL, no engine. Exact paths; their
// sub-packages are shells.
var pure = []string{
	"griffier/api/warrant", "griffier/api/warrant/letter", "griffier/api/warrant/epoc", "griffier/api/disclosure", "griffier/api/oversight",
	"griffier/api/authority", "griffier/api/legalbasis", "griffier/collector/binding", "griffier/collector/lease",
}

var impure = []string{"google.golang.org/grpc", "github.com/ClickHouse/", "griffier/schema/engine", "net/http", "database/sql"}

// TestArrows holds the import arrows of the tree.
func TestArrows(t *testing.T) {
	for _, p := range packages(t) {
		for _, r := range arrows {
			if !within(p.ImportPath, r.from) {
				continue
			}
			for _, imported := range p.Imports {
				for _, to := range r.to {
					if within(imported, strings.TrimSuffix(to, "/")) && !within(imported, r.from) {
						t.Errorf("%s imports %s: %s", p.ImportPath, imported, r.why)
					}
				}
			}
		}
		for _, path := range pure {
			if p.ImportPath != path {
				continue
			}
			for _, imported := range p.Imports {
				for _, to := range impure {
					if strings.HasPrefix(imported, to) {
						t.Errorf("%s imports %s: it decides, so it has no gRPC and no SQL", p.ImportPath, imported)
					}
				}
			}
		}
	}
}

func within(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

// TestArrowsCanFail is the negative control of TestArrows.
func TestArrowsCanFail(t *testing.T) {
	if !within("griffier/api/server", "griffier/api") || within("griffier/apiary", "griffier/api") {
		t.Error("within cannot tell a package from its neighbour")
	}
}

// TestPackageDocs wants every package to say what it is, once.
func TestPackageDocs(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 {
			continue
		}
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
		docs := 0
		for _, f := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), p.Dir+"/"+f, nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc != nil && !strings.HasSuffix(f, ".pb.go") {
				docs++
			}
		}
		if docs > 1 {
			t.Errorf("%s has %d package comments, want one", p.ImportPath, docs)
		}
	}
}
