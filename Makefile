# Weightgate. `make demo` and `make test` do all the set-up they need: Python 3.11+, make and package registries suffice.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DATA ?= var

.PHONY: help install demo serve cluster load prepare test lint screenshots lighthouse bench faults sbom audit wheels lock clean

help: ## List the targets
	@grep -E '^[a-z]+:.*## ' Makefile | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

install: $(STAMP) ## Install everything into .venv, from the lock file with hashes

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Weightgate needs Python 3.11 or newer; run: make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.lock
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable client
	@touch $@

demo: install ## Run the demo until Ctrl-C (DATA=var)
	@$(BIN)/weightgate-server --data $(DATA) demo

serve: install ## Run the instance in DATA until Ctrl-C
	@$(BIN)/weightgate-server --data $(DATA) serve

cluster: DATA = var/cluster
cluster: install ## Run two machines, PostgreSQL, Redis, the store and nginx until Ctrl-C (DATA=var/cluster; SMOKE=1: only the smoke test)
	@$(BIN)/python -m tests.cluster --data $(DATA) $(if $(PORT),--port $(PORT)) $(if $(SMOKE),--smoke)

load: MINUTES = 60
load: install ## Load a cluster for an hour with kills and revokes, and check every promise (MINUTES=60)
	@$(BIN)/python -m tests.cluster.load --minutes $(MINUTES)

lint: install ## Check style, types, import contracts and migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.migrations_check

prepare: install
	$(BIN)/python -m tests.prepare

test: install ## Lint, then run every test; installs what they need
	$(MAKE) --jobs 2 --output-sync=target lint prepare
	$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder

faults: prepare ## Run the long fault tests
	$(BIN)/pytest -m fault --override-ini addopts="-ra --strict-markers --import-mode=importlib" tests

screenshots: prepare ## Save every page of the portal (light, dark, phone) to build/screenshots
	$(BIN)/python -m tests.browser.screenshots build/screenshots

lighthouse: prepare ## Let Lighthouse judge every page on a phone; each figure must be 95 (needs node and npm)
	$(BIN)/python -m tests.browser.lighthouse

bench: prepare ## Run the benchmarks; writes tests/bench/RESULTS.md
	$(BIN)/python -m tests.bench.sign
	$(BIN)/python -m tests.bench.issue
	$(BIN)/python -m tests.bench.issue --database postgresql
	$(BIN)/python -m tests.bench.layers
	$(BIN)/python -m tests.bench.layers --database postgresql
	$(BIN)/python -m tests.bench.log
	$(BIN)/python -m tests.bench.pages
	$(BIN)/python -m tests.bench.reconcile
	$(BIN)/python -m tests.bench.download
	$(BIN)/python -m tests.bench.delta
	$(BIN)/python -m tests.bench.hub
	$(BIN)/python -m tests.bench.s3_door

sbom: install ## Write what a server is made of to build/sbom.json (CycloneDX)
	$(BIN)/python docs/sbom.py

audit: install ## Ask OSV for known weaknesses of every pinned package (needs api.osv.dev)
	$(BIN)/python docs/audit.py

wheels: install ## Build the wheels of server and client to build/wheels; one commit always gives the same bytes
	rm -rf build/source build/wheels && mkdir -p build/source build/wheels
	umask 022 && git archive HEAD | tar --extract --no-same-permissions --directory build/source
	umask 022 && for part in . client; do (cd build/source/$$part && SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) \
	  $(CURDIR)/$(BIN)/python -c 'import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])' \
	  $(CURDIR)/build/wheels) || exit 1; done
	sha256sum build/wheels/*

lock: install ## Resolve requirements.lock again from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --python-version 3.11 \
	  --upgrade --extra embedded --group dev -o requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --python-version 3.11 \
	  --constraints requirements.lock --group image -o deploy/requirements.lock pyproject.toml

clean: ## Remove build results; keeps DATA
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
