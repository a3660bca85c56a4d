# Onehop: every command that a person or CI needs. Only Python 3.11+ and make are assumed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := onehop router asset_server functions control_plane workflows envelope migration
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

.PHONY: setup setup-dev run test check bench bench-migration bench-peers bench-scale lock clean

setup: $(VENV)/.runtime ## the virtual environment, with .venv/bin/onehop in it
setup-dev: $(VENV)/.dev

$(VENV)/.runtime: requirements/build.txt requirements/runtime.txt pyproject.toml
	@echo "setting up $(VENV) (about a minute the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Onehop needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; name another with: make PYTHON=/path/to/python3.11 setup")'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) -r requirements/build.txt -r requirements/runtime.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q $(PACKAGES) # or the first start would: 0.1 s, and where it may not write, each start
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	@echo "adding the test tools to $(VENV)"
	@$(PIP_INSTALL) -r requirements/dev.txt
	@touch $@

run: setup ## serve the demo sites and print their URLs
	@$(BIN)/onehop demo

test: setup-dev ## every test this machine can run; missing real parts are visible skips
	@$(BIN)/python -m pytest

check: setup-dev ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

$(VENV)/.bench: $(VENV)/.dev requirements/bench.txt loadtests/lighthouse/package-lock.json
	@$(PIP_INSTALL) -r requirements/bench.txt
	@if command -v npm >/dev/null; then cd loadtests/lighthouse && npm ci --loglevel=error; else echo "no npm: loadtests.pages can't run"; fi
	@touch $@

bench: $(VENV)/.bench ## every load test, in full; writes loadtests/RESULTS.md
	@$(BIN)/python -m loadtests

bench-migration: $(VENV)/.bench ## how fast a migration is, and what visitors notice; ARGS=--quick for a minute of it
	@$(BIN)/python -m loadtests.migration $(ARGS)

bench-peers: $(VENV)/.bench ## the edge beside nginx, h2o, Caddy and others (apt-get install wrk nginx h2o caddy); ARGS="--quick --json"
	@$(BIN)/python -m loadtests.peers $(ARGS)

bench-scale: $(VENV)/.bench ## stores of 10 to 14 million deployments (apt-get install wrk); ARGS="--quick --json --sizes 10,1000000"
	@$(BIN)/python -m loadtests.sizes $(ARGS)

lock: ## lock the requirements again, newest versions that fit (needs uv on the PATH)
	@for set in build runtime dev bench; do \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	    --upgrade --custom-compile-command 'make lock' requirements/$$set.in --output-file requirements/$$set.txt || exit 1; done

clean: ## what setup, tests and runs made; never a data folder
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis onehop.egg-info build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
