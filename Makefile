# `make` lists the targets; each one's comment is its help.
.DEFAULT_GOAL := help
SHELL := /bin/bash

EDGE := .build/release/edge
CONFIG ?= routes.yaml
SWIFT_FILES := Package.swift Sources Tests

.PHONY: help build run test dev coverage sanitize bench conformance fuzz soak format lint clean

help: ## lists the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## builds the release binary, .build/release/edge
	@scripts/install.sh build
	swift build -c release --static-swift-stdlib --product edge

run: build ## installs what is missing, builds, and runs Edge for development
	@scripts/install.sh run
	@scripts/python.sh || echo "the Python clients are not there; everything else works without them" >&2
	@exec $(EDGE) run --dev --config $(CONFIG)

test: ## runs everything that decides whether a change is right; PARTS="lint unit" for some of it
	@scripts/install.sh build test bench
	@scripts/python.sh
	@scripts/test.py test $(PARTS)

dev: ## runs Edge, rebuilt whenever its code changes, reloaded whenever its configuration does
	@scripts/install.sh build test
	@scripts/python.sh || echo "the Python clients are not there; everything else works without them" >&2
	@exec scripts/dev.py $(CONFIG)

coverage: ## prints the lines that the unit tests cover, by folder
	@scripts/install.sh build test
	@scripts/coverage.py

sanitize: ## runs the scenarios against builds with AddressSanitizer and ThreadSanitizer
	@scripts/install.sh build test
	@scripts/test.py sanitize $(PARTS)

bench: build ## measures Edge side by side with its peers (13 minutes)
	@scripts/install.sh bench
	@exec python3 bench/run.py

conformance fuzz soak:
	@echo "make $@ comes with a later version of Edge; nothing was run" >&2
	@exit 1

conformance: ## (later) protocol conformance: Autobahn, slowhttptest, testssl
fuzz: ## (later) every parser against generated input
soak: ## (later) hours of mixed traffic, kills and storms

format: ## formats the Swift files in place
	swift format format --in-place --parallel --recursive $(SWIFT_FILES)

lint: ## checks the format of the Swift files and the syntax of the scripts
	swift format lint --strict --parallel --recursive $(SWIFT_FILES)
	bash -n scripts/*.sh .ci/run
	python3 -c 'import ast, sys; [ast.parse(open(path).read(), path) for path in sys.argv[1:]]' scripts/*.py

clean: ## removes everything that was built
	rm -rf .build
