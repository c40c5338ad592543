# `make` alone lists what there is. Everything a fresh machine lacks is installed where that is ours to do
# (toolchain by rustup, packages by apt as root) and otherwise named in one line.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

rust_needed := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
node_needed := 20.19
python_needed := 3.11
FUZZ_SECONDS ?= 60
# Tests wait for half of their time. Some are loads by themselves, so there is room for one more at once, not for two.
test_threads := $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
# Takes what there is of the machine, and waits for three servers as long as a client would.
test_alone := rolling::

# A shell that is not a login shell does not know where rustup put things.
export PATH := $(PATH):$(HOME)/.cargo/bin

# $(call at_least,WANTED,COMMAND): COMMAND is there and says it is WANTED or newer
at_least = found=$$($(2) --version 2>/dev/null | grep -Eo '[0-9]+(\.[0-9]+)+' | head -n 1); \
	[ -n "$$found" ] && printf '%s\n' $(1) "$$found" | sort -CV
has_rust := $(call at_least,$(rust_needed),cargo)
has_node := $(call at_least,$(node_needed),node) && command -v npm >/dev/null
may_apt := [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null
apt := DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends

# An old or missing default toolchain is passed over for rustup's stable one, for these commands only.
ifeq ($(shell $(has_rust) || command -v rustup >/dev/null && echo pass over),pass over)
export RUSTUP_TOOLCHAIN := stable
endif

.PHONY: help
help: ## List the targets
	@sed -En 's/^([a-z-]+):.*## (.*)/\1\t\2/p' Makefile | while IFS=$$'\t' read -r name what; do \
		printf '  make %-12s %s\n' "$$name" "$$what"; done

# The development profile: an optimised build takes minutes before there is anything to see.
.PHONY: run
run: setup ## Try it: server, stand-in Guest API and a stream of bookings, nothing else needed
	@if $(has_node); then $(MAKE) --no-print-directory playground; \
	else echo "Going on without the web pages: they need Node $(node_needed) or newer, with npm (https://nodejs.org)"; fi
	cargo run --locked -- demo

.PHONY: test
test: setup setup-checks setup-calls setup-chromium setup-promtool playground clients ## Formatting, lints, web pages, and every test, on SQLite and PostgreSQL
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --test prove -- -D warnings
	RUST_TEST_THREADS=$(test_threads) tests/with-postgres cargo test --locked --workspace -- --skip $(test_alone)
	tests/with-postgres cargo test --locked --test it -- $(test_alone)
	@if $(MAKE) --no-print-directory setup-fuzz; then $(MAKE) --no-print-directory fuzz; \
	else echo "Going on without fuzzing; its corpus went through the tests above"; fi

# New finds go to a folder that is not kept: what is worth keeping gets a name and a place in fuzz/corpus/event.
.PHONY: fuzz
fuzz: setup-fuzz ## Fuzz the parser of webhooks for FUZZ_SECONDS (60)
	@mkdir -p fuzz/target/corpus/event
	cd fuzz && cargo +nightly fuzz run --fuzz-dir . event target/corpus/event corpus/event -- \
		-dict=event.dict -max_len=4096 -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -verbosity=0

.PHONY: prove
prove: setup setup-chromium playground schemathesis ## What takes longer than a test may: kills, outages, loads, generated queries, each bounded
	tests/with-postgres cargo test --locked --test prove -- --test-threads=1 --nocapture

# In a folder of its own, which `cargo clean` takes with it.
schemathesis_installed := target/schemathesis/.installed

.PHONY: schemathesis
schemathesis: setup-python $(schemathesis_installed) ## Install what makes the generated queries

$(schemathesis_installed): tests/prove/fuzz/requirements.txt
	python3 -m venv --clear target/schemathesis
	target/schemathesis/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

postgraphile := benches/postgraphile/node_modules/.installed
benches := ingest query feed broadcast start

# One after the other, also past one that misses a bar. BENCH_SECONDS shortens them, to see that they work.
.PHONY: bench
bench: setup setup-node $(postgraphile) ## All benches, into one table: docs/performance.md
	@mkdir -p target && : >target/bench.log
	@for bench in $(benches); do \
		$(MAKE) --no-print-directory bench-$$bench 2>&1 | tee -a target/bench.log; \
		[ "$${PIPESTATUS[0]}" = 0 ] || echo "FAILED bench-$$bench" | tee -a target/bench.log; done
	tests/with-postgres cargo bench --locked --quiet --bench table <target/bench.log

.PHONY: bench-start
bench-start: setup ## Start to ready, idle memory, size of the binary
	tests/with-postgres cargo bench --locked --bench start

.PHONY: bench-ingest
bench-ingest: setup ## Webhooks a second beside one-row upserts by pgbench, on a PostgreSQL with fsync
	tests/with-postgres --durable cargo bench --locked --bench ingest

.PHONY: bench-broadcast
bench-broadcast: setup ## A broadcast against an unpublished limit: simulated servers, then the sender over HTTP
	tests/with-postgres cargo bench --locked --bench broadcast

# Each watcher is a socket in two processes.
.PHONY: bench-feed
bench-feed: setup ## Deliveries per CPU second beside a bare loop, latency, and memory a watcher
	ulimit -Sn "$$(ulimit -Hn)" && tests/with-postgres --durable cargo bench --locked --bench feed

# 10 million rows need some 6 GB: BENCH_ROWS=1000000 stops before.
.PHONY: bench-query
bench-query: setup setup-node $(postgraphile) ## Pages a second beside PostGraphile and pgbench, and their times at any size
	tests/with-postgres --durable cargo bench --locked --bench query

$(postgraphile): benches/postgraphile/package-lock.json
	cd benches/postgraphile && npm ci --no-audit --no-fund
	@touch $@

# The licences of what is in the binary, crates that must not be, and where they come from: deny.toml.
.PHONY: deny
deny: setup ## Check licences, banned crates and sources, as before a release
	@if ! command -v cargo-deny >/dev/null; then cargo install --locked cargo-deny; fi
	cargo deny --locked check licenses bans sources

# The target is named, or the flags would also hold for what runs while it is built.
.PHONY: release
release: setup playground ## One binary that needs no shared library: target/<host>/release/besty
	RUSTFLAGS="$(RUSTFLAGS) -C target-feature=+crt-static" \
		cargo build --locked --release --bin besty --target "$$(rustc -vV | sed -n 's/^host: //p')"

.PHONY: schema
schema: setup ## Write schema.graphql anew from the code
	@trap 'rm -f schema.graphql.new' EXIT; set -e; \
	cargo run --locked --quiet -- schema >schema.graphql.new; \
	mv schema.graphql.new schema.graphql

.PHONY: docs
docs: setup ## Write docs/configuration.md anew from the code
	@trap 'rm -f docs/configuration.md.new' EXIT; set -e; \
	cargo run --locked --quiet -- configuration >docs/configuration.md.new; \
	mv docs/configuration.md.new docs/configuration.md

# --- the web pages -----------------------------------------------------------------------------------------

installed := playground/node_modules/.installed
built := playground/node_modules/.built

.PHONY: playground
playground: setup-node $(built) ## Build the web pages that the server embeds, if they changed

$(installed): playground/package-lock.json
	cd playground && npm ci --no-audit --no-fund
	@touch $@

# `npm run build` checks the types first.
$(built): $(installed) schema.graphql \
		$(shell find playground \( -name node_modules -o -name dist -o -name generated \) -prune -o -type f -print)
	cd playground && npm run build
	@touch $@

ifeq ($(wildcard playground/dist/*),)
.PHONY: $(built)
endif

# The tests of the pages take them into target/screenshots.
.PHONY: screenshots
screenshots: setup setup-chromium playground ## Take the pictures of the pages in docs/screenshots anew
	tests/with-postgres cargo test --locked --test pages on_sqlite
	@mkdir -p docs/screenshots
	cp target/screenshots/*.png docs/screenshots/

# --- the tests of clients from npm -------------------------------------------------------------------------

clients_installed := tests/clients/node_modules/.installed
clients_built := tests/clients/node_modules/.built
contract_installed := tests/schema/node_modules/.installed

.PHONY: clients
clients: setup-node $(clients_built) $(contract_installed) ## Build the tests that clients from npm run, if they changed

$(clients_installed): tests/clients/package-lock.json
	cd tests/clients && npm ci --no-audit --no-fund
	@touch $@

# What is built here is made from schema.graphql, so the test that runs it builds it too.
$(contract_installed): tests/schema/package-lock.json
	cd tests/schema && npm ci --no-audit --no-fund
	@touch $@

$(clients_built): $(clients_installed) playground/src/resume.ts \
		$(shell find tests/clients -name node_modules -prune -o -type f -print)
	cd tests/clients && rm -rf node_modules/.built && npm run build
	@touch $@

# --- what the machine needs --------------------------------------------------------------------------------

.PHONY: setup
setup: ## Check for a Rust toolchain and a C compiler; install them where possible
	@if ! { $(has_rust); }; then \
		if command -v rustup >/dev/null; then rustup toolchain install stable --profile minimal; \
		else echo "Rust $(rust_needed) or newer is needed: https://rustup.rs" >&2; exit 1; fi; \
		{ $(has_rust); } || { echo "Rust $(rust_needed) or newer is needed, $$(command -v cargo) is not: https://rustup.rs" >&2; exit 1; }; fi
	@if ! command -v cc >/dev/null; then \
		if $(may_apt); then apt-get update -q && $(apt) gcc libc6-dev; \
		else echo "A C compiler is needed, as cc: install gcc or clang" >&2; exit 1; fi; fi

.PHONY: setup-checks
setup-checks: setup
	@if ! { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1; then \
		if command -v rustup >/dev/null; then rustup component add rustfmt clippy; \
		else echo "rustfmt and clippy are needed, of the same release as cargo" >&2; exit 1; fi; fi

# What docs/automation.md uses.
.PHONY: setup-calls
setup-calls:
	@if ! { command -v curl && command -v jq; } >/dev/null; then \
		if $(may_apt); then apt-get update -q && $(apt) ca-certificates curl jq; \
		else echo "curl and jq are needed" >&2; exit 1; fi; fi

# Only the tool: the package would start a service.
promtool := target/promtool/promtool

.PHONY: setup-promtool
setup-promtool:
	@if [ ! -x "$${PROMTOOL:-$(promtool)}" ]; then mkdir -p $(dir $(promtool)); \
		if found=$$(command -v promtool); then ln -sf "$$found" $(promtool); \
		elif $(may_apt); then apt-get update -q && cd $(dir $(promtool)) && apt-get download -q prometheus && \
			dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xO ./usr/bin/promtool >promtool.new && \
			chmod +x promtool.new && mv promtool.new promtool && rm -f prometheus_*.deb; \
		else echo "promtool is needed, of Prometheus 2.42 or newer: on the PATH, or where PROMTOOL says" >&2; exit 1; fi; fi

# Sanitizers and coverage are for nightly compilers only.
.PHONY: setup-fuzz
setup-fuzz: setup
	@if ! command -v rustup >/dev/null; then \
		echo "Fuzzing needs a nightly toolchain by rustup: https://rustup.rs" >&2; exit 1; fi
	@if ! rustup run nightly cargo --version >/dev/null 2>&1; then \
		rustup toolchain install nightly --profile minimal; fi
	@if ! command -v cargo-fuzz >/dev/null; then cargo install --locked cargo-fuzz; fi
	@cd fuzz && { cargo fetch --locked --quiet --offline 2>/dev/null || cargo fetch --locked --quiet; }

.PHONY: setup-python
setup-python:
	@if ! { $(call at_least,$(python_needed),python3) && python3 -c 'import venv, ensurepip'; } 2>/dev/null; then \
		if $(may_apt); then apt-get update -q && $(apt) python3 python3-venv; fi; \
		{ $(call at_least,$(python_needed),python3) && python3 -c 'import venv, ensurepip'; } || \
			{ echo "Python $(python_needed) or newer is needed, with venv: https://python.org" >&2; exit 1; }; fi

# A distribution's older Node is left alone.
.PHONY: setup-node
setup-node:
	@if ! { $(has_node); }; then \
		if $(may_apt); then apt-get update -q; \
			offered=$$(apt-cache policy nodejs | sed -n 's/ *Candidate: //p'); \
			if dpkg --compare-versions "$$offered" ge $(node_needed); then \
				$(apt) nodejs && { command -v npm >/dev/null || $(apt) npm; }; fi; fi; \
		{ $(has_node); } || { echo "Node $(node_needed) or newer is needed, with npm: https://nodejs.org" >&2; exit 1; }; fi

# The browser tests drive it; nothing is downloaded by npm.
.PHONY: setup-chromium
setup-chromium: setup-node
	@if [ ! -x "$${CHROMIUM:-/usr/bin/chromium}" ]; then \
		if $(may_apt); then apt-get update -q && $(apt) chromium; \
		else echo "Chromium is needed at /usr/bin/chromium, or where CHROMIUM says: install chromium" >&2; exit 1; fi; fi
