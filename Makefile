# cortax: `make build` builds the studies that come with it, `make test` tests it. Both install what they need.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check --no-input
# Bytecode is compiled afterwards, on all cores, and not that of the packages' own tests: half the time of an installation.
INSTALL = $(PIP) install --quiet --no-compile
BYTECODE = $(BIN)/python -m compileall -q -j 0 -x /tests/ $(VENV)/lib

.PHONY: build test test-slow test-pages test-cluster test-browser lint audit docs up down clean lock

build: $(VENV)/.installed
	$(BIN)/cortax compile & $(BIN)/cortax data && wait $$!
	$(BIN)/cortax build demo ds000174 grn bci diffusion rivers

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

PAGES = tests/e2e/test_readme.py tests/e2e/test_pages.py

# Whole builds that are killed, starved and repaired.
test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile --no-loadscope-reorder tests/e2e $(PAGES:%=--ignore=%)

# Every command of the README, `make build` first, and of the documentation: before a release, as CI has no time for it.
test-pages: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile $(PAGES)

# Real engines: a Ray of several nodes, Dask, a SLURM of two nodes on the loopback (as root; installed by apt), unless
# CORTAX_WITHOUT_SLURM says that it is to be left out.
test-cluster: $(VENV)/.installed-cluster
	test -n "$$CORTAX_WITHOUT_SLURM" || command -v slurmctld >/dev/null || scripts/slurm install
	$(BIN)/python -m pytest -m cluster tests/cluster

# Reports in a real Chromium (installed by apt and npm when missing), with a check of accessibility.
test-browser: $(VENV)/.installed-dev
	scripts/browser
	$(BIN)/python -m pytest -m browser tests/browser

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The pinned versions against OSV's list of vulnerabilities.
audit: $(VENV)/.installed-dev
	VENV=$(VENV) scripts/audit

# The pages, into site/; a link that leads nowhere is an error.
docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

up: $(VENV)/.installed
	$(BIN)/cortax up

down: $(VENV)/.installed
	$(BIN)/cortax down

# Ends the server and removes everything that was computed; the environment and the input data stay.
clean: down
	rm -rf workdirs/main/main-* results workdirs/main/.slices urd.db .cortax .socket.dir

lock:
	uv pip compile --universal --python-version 3.10 --generate-hashes --no-annotate \
		--custom-compile-command "make lock" --extra build pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.10 --generate-hashes --no-annotate \
		--custom-compile-command "make lock" --extra build --extra dev --extra diffusion --extra docs --extra eeg --extra expression -c requirements.lock pyproject.toml \
		-o requirements-dev.lock
	uv pip compile --universal --python-version 3.10 --generate-hashes --no-annotate \
		--custom-compile-command "make lock" --extra build --extra dev --extra diffusion --extra docs --extra eeg --extra expression --extra ray --extra dask --extra slurm \
		-c requirements-dev.lock pyproject.toml -o requirements-cluster.lock

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(INSTALL) --require-hashes -r requirements.lock
	$(INSTALL) --no-deps --no-build-isolation -e .
	$(BYTECODE)
	touch $@

$(VENV)/.installed-cluster: requirements-cluster.lock $(VENV)/.installed-dev
	$(INSTALL) --require-hashes -r requirements-cluster.lock
	$(BYTECODE)
	touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	$(INSTALL) --require-hashes -r requirements-dev.lock
	$(BYTECODE)
	touch $@
