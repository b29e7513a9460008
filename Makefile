# The habitual targets. .ci/run is the whole of what must pass.
.PHONY: build test test-all demo vet lint golangci race fuzz bench bench-results bench-compare count vectors interop ci

build:
	go build -o sealbus ./cmd/sealbus

test:
	go test ./...

# Long property tests try a tenth of their cases by default.
test-all:
	SEALBUS_ALL_TESTS=1 go test ./...

demo:
	go run ./cmd/sealbus demo

vet:
	gofmt -l $$(git ls-files '*.go')
	go vet ./...

lint: vet
	cd .ci/tools && go build -o ../staticcheck-bin honnef.co/go/tools/cmd/staticcheck
	.ci/staticcheck-bin ./...

# Needs golangci-lint v2 on the path: .golangci.yml says how to install it.
golangci:
	golangci-lint run ./...

race:
	go test -race ./...

# One target: make fuzz DIR=envelope TARGET=FuzzOpen TIME=1m
DIR ?= envelope
TARGET ?= FuzzOpen
TIME ?= 1m
fuzz:
	cd $(DIR) && go test -run '^$$' -fuzz '^$(TARGET)$$' -fuzztime $(TIME) .

bench:
	cd bench && go run .

# Writes the measured part of bench/RESULTS.md, and its charts: on a machine that does nothing else.
bench-results:
	cd bench && go run . -write

# Measures this checkout and an older commit in turns: make bench-compare OLD=HEAD~10 ONLY='^Open'
OLD ?= HEAD
ONLY ?=
bench-compare:
	cd bench && go run . -compare '$(OLD)' -only '$(ONLY)'

# How much a reader of the code follows. With limits it fails if a figure is over one:
# make count MAX=open=150,options=14
MAX ?=
count:
	cd .ci/tools && go run ./count -C ../.. -max '$(MAX)'

# Writes the vectors that the tests of package envelope describe.
vectors:
	go test ./envelope -run TestVectorFiles -update

interop:
	cd interop && npm ci --no-audit --no-fund --ignore-scripts && SEALBUS_REQUIRE_PEERS=1 go test -count=1 ./...

ci:
	.ci/run
