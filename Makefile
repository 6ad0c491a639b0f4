# What a developer types. `make help` lists it; `make test` is all of it, and exactly what CI runs.
# The steps of `test` run cheapest first. All of them share one profile and one set of features (see `binary`, `doc`):
# Pingora is compiled once and checked once.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

TARGET  := $(or $(CARGO_TARGET_DIR),target)
AIFD    := $(TARGET)/debug/aifd
TALLY   := $(TARGET)/tally
PYTHON  ?= python3
CLIENTS := $(TARGET)/venv-clients
OLD     := $(TARGET)/venv-old
REAL    := $(TARGET)/venv-real
OLDER   := $(TARGET)/venv-of067 $(TARGET)/venv-of081
NEXTEST := $(shell cargo nextest --version >/dev/null 2>&1 && echo yes)
T       :=

export PYTHONDONTWRITEBYTECODE := 1
export AIFD_BIN ?= $(abspath $(AIFD))
export AIFD_OLD ?= $(abspath $(OLD)/bin/python)

step   = @printf '\n== %s\n' '$(1)'
# Shows the output of a step and keeps it, without colours, for the summary.
plain  = CARGO_TERM_COLOR=never
kept   = 2>&1 | tee $(TALLY)/$(1).log
pytest = $(1)/bin/python -m pytest --color=no -c $(2)/pytest.ini $(2) $(if $(T),-k '$(T)')

.PHONY: help test tools fmt-check floors lint unit binary clients doc conf tour \
        test-real test-compat check fmt it demo bench run deny dist clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- everything ---

test: tools fmt-check floors lint unit clients doc conf tour ## all of it, as CI does it
	@passed() { grep -E '^ *Summary \[|^test result: ok|passed in ' "$(TALLY)/$$1.log" \
	    | grep -oE '[0-9]+ passed' | awk '{ sum += $$1 } END { print sum + 0 }'; }; \
	printf '\n== all passed: %d Rust tests, %d doc tests, %d real-client tests, %d configurations, the demo\n' \
	    "$$(passed unit)" "$$(passed doctest)" "$$(passed clients)" "$$(wc -l < $(TALLY)/conf.log)"

tools:
	$(call step,tools)
	@mkdir -p $(TALLY)
	@need() { command -v "$$1" >/dev/null || { echo "missing: $$1 ($$2)"; exit 1; }; }; \
	need cargo 'install Rust: https://rustup.rs'; \
	need cc 'a C compiler: apt-get install build-essential'; \
	need $(PYTHON) 'Python 3.11 or later: apt-get install python3'; \
	need redis-server 'the tests of shared limits start one: apt-get install redis-server'
	@cargo fmt --version >/dev/null 2>&1 || { echo 'missing: rustfmt (rustup component add rustfmt)'; exit 1; }
	@cargo clippy --version >/dev/null 2>&1 || { echo 'missing: clippy (rustup component add clippy)'; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo 'too old: $(PYTHON) must be 3.11 or later (name another with PYTHON=)'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	    || { echo 'missing: the venv module (apt-get install python3-venv)'; exit 1; }
	@echo "$$(cargo --version), $$($(PYTHON) --version), $(if $(NEXTEST),nextest,cargo test)"

fmt-check:
	$(call step,format)
	@cargo fmt --check

floors: | $(TALLY) ## the import rules of the house, alone
	$(call step,floors)
	@$(plain) cargo test --test it floors:: $(call kept,floors)
	@grep -Eq '^test result: ok\. [1-9]' $(TALLY)/floors.log || { echo 'no test is called floors::'; exit 1; }

lint: ## clippy, warnings are errors
	$(call step,lints)
	@cargo clippy --all-targets -- -D warnings

unit: | $(TALLY) ## unit, integration and doc tests
	$(call step,unit and integration tests)
ifdef NEXTEST
	@$(plain) cargo nextest run --no-fail-fast $(call kept,unit)
else
	@$(plain) cargo test --no-fail-fast --lib --bins --tests $(call kept,unit)
endif
	$(call step,doc tests)
	@$(plain) cargo test --doc $(call kept,doctest)

# With the test target beside it: `cargo build` alone leaves out the features that only the tests ask for, and
# would compile half the tree, Pingora with it, a second time.
binary:
	$(call step,debug binary)
	@cargo build --bin aifd --test it

clients: binary $(CLIENTS)/.stamp $(OLD)/.stamp | $(TALLY) ## the real openai client; one test: make clients T=name
	$(call step,real clients)
	@$(call pytest,$(CLIENTS),tests/clients) $(call kept,clients)

# `--examples` (there are none) makes cargo take the tests' features here too, and so the metadata that clippy has made.
doc: ## the documentation of the crate, warnings are errors
	$(call step,documentation)
	@RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --lib --examples

# Every variable that a configuration names gets a value of its own.
conf: binary | $(TALLY)
	$(call step,configurations)
	@: > $(TALLY)/conf.log; \
	for file in conf/*.toml; do \
	    names=$$(grep -oE 'env:[A-Za-z_][A-Za-z0-9_]*' "$$file" | cut -d: -f2 | sort -u || true); \
	    env $$(for name in $$names; do echo "$$name=dummy-$$name"; done) \
	        $(AIFD) check --config "$$file" || { echo "$$file is wrong"; exit 1; }; \
	    echo "$$file" >> $(TALLY)/conf.log; \
	done

tour: binary
	$(call step,demo)
	@$(AIFD) demo --once

# --- against a real inference server ---

test-real: binary $(REAL)/.stamp | $(TALLY) ## the same against a real llama.cpp server with a tiny model
	$(call step,real server)
	@$(call pytest,$(REAL),tests/real) $(call kept,real)

# --- against what it replaces ---

test-compat: binary $(CLIENTS)/.stamp $(OLDER:=/.stamp) | $(TALLY) ## against openai-forward 0.6.7 and 0.8.1; T=environment
	$(call step,openai-forward beside aifd)
	@$(call pytest,$(CLIENTS),tests/compat) $(call kept,compat)

# --- one thing at a time ---

check: ## type-check everything
	@cargo check --all-targets

fmt: ## format
	@cargo fmt

it: ## the integration tests; one of them: make it T=stream::first_byte
	@cargo test --test it $(T)

demo: ## the tour, then stays up: an embedded upstream with aifd in front of it
	@cargo run --release -- demo

bench: ## what the pure rooms cost, by the clock
	@cargo bench --bench rooms

run: ## aifd in release mode; its arguments: make run ARGS='--config aifd.toml'
	@cargo run --release -- run $(ARGS)

deny: ## licences, sources, duplicates, bans (needs cargo-deny)
	@cargo deny --version >/dev/null 2>&1 || { echo 'missing: cargo-deny (cargo install cargo-deny)'; exit 1; }
	@cargo deny --offline check bans licenses sources

dist: ## the binary to ship: target/dist/aifd
	@cargo build --profile dist --bin aifd

clean: ## everything that was built or installed here
	@cargo clean

# --- what the tests need ---

$(TALLY):
	@mkdir -p $@

# The environments of the real clients: made anew when their requirements change.
define venv
	@echo "installing $< into $(@D)"
	@rm -rf $(@D)
	@$(PYTHON) -m venv $(@D) || { echo 'no venv (apt-get install python3-venv)'; exit 1; }
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP) -r $<
	@touch $@
endef

$(CLIENTS)/.stamp: tests/clients/requirements.txt
	$(venv)

$(OLD)/.stamp: tests/clients/requirements-old.txt
	$(venv)

# These stand in their files whole: what they were recorded with, not what is newest.
$(TARGET)/venv-of%/.stamp: PIP := --no-deps
$(TARGET)/venv-of067/.stamp: tests/compat/requirements-0.6.7.txt
	$(venv)

$(TARGET)/venv-of081/.stamp: tests/compat/requirements-0.8.1.txt
	$(venv)

$(REAL)/.stamp: tests/real/requirements.txt tests/clients/requirements.txt
	$(venv)
