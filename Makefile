# Griffier. `make demo` and `make test` work on a fresh Debian 12 with Go, Node,
# gcc, make and root; each installs what it needs and says so.

BIN      := bin
COMMANDS := griffier griffierd griffier-collector
# Packages in which goroutines share memory: tested with the race detector too.
RACE     := ./api/auth/... ./api/enrol/... ./api/hold/... ./api/keystore/... ./api/ledger/... ./api/oversight/watch/... \
            ./api/retention/... ./api/sealedfile/... ./api/server/... ./api/support/... ./api/warrant/... ./collector/cgnat/... \
            ./collector/daemon/... ./collector/datapath/... ./collector/radius/... ./collector/sink/... ./collector/spool/...
# One seed, so that what fails on one run fails on all; `make hunt` draws fresh ones.
export RAPID_SEED := 1
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Rises with every commit, and says which one it is.
DEB_VERSION := 0.1.0+$(shell git rev-list --count HEAD 2>/dev/null || echo 0).$(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)

.PHONY: help demo test build lint unit race once hunt bench generate packages engine deb clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

demo: engine build ## the whole product on this machine, then serve until Ctrl-C
	@if [ "$$(id -u)" -eq 0 ]; then .ci/packages; fi # without root it replays captures and needs no peers
	@$(BIN)/griffier demo

test: packages engine build lint unit race once ## everything that CI runs
	@echo "all tests passed"

build: ## the three commands, into bin/
	@echo "building $(COMMANDS)"
	@mkdir -p $(BIN)
	@CGO_ENABLED=0 go build -trimpath -o $(BIN)/ ./api/cmd/griffier ./api/cmd/griffierd ./collector/cmd/griffier-collector

lint: ## gofmt, vet, staticcheck, and govulncheck where its database can be reached
	@echo "checking form"
	@test -z "$$(gofmt -l api bench bpf collector proto schema)" || { gofmt -l api bench bpf collector proto schema; exit 1; }
	@go vet ./...
	@go run $(STATICCHECK) ./...
	@.ci/vulnerabilities

unit: ## unit, engine, kernel and namespace tests
	@echo "testing"
	@go test -p 2 -timeout 40m ./...

race: ## the concurrent packages, under the race detector
	@echo "testing for data races"
	@go test -race -short -p 2 -timeout 40m $(RACE)

once: build ## the demo's story once, checked
	@echo "telling the demo's story once"
	@$(BIN)/griffier demo -once -o json

hunt: packages engine ## properties and parsers with fresh random input, for an hour
	@RAPID_SEED=0 .ci/hunt

bench: engine ## figures against a floor or peer in the same run
	@.ci/packages tcpdump softflowd nfdump pmacct freeradius freeradius-postgresql postgresql
	@go run ./bench

generate: ## generated code; needs clang, libbpf-dev and protoc with its Go plug-ins
	go generate ./...

packages:
	@.ci/packages

engine:
	@go run ./schema/engine/fetch >/dev/null

deb: build ## Debian packages of both daemons, into bin/
	@for dir in collector/dist api/dist; do collector/dist/package $$dir $(DEB_VERSION) $(CURDIR)/$(BIN) $(CURDIR)/$(BIN); done

clean: ## remove what was built
	rm -rf $(BIN)
