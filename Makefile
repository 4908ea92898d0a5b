# Everything a newcomer needs: `make demo` shows the main job, `make test` proves it.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=

.PHONY: demo test test-slow fuzz lint bench docs falco-compatibility setup packages clean

setup: packages $(VENV)/.installed

packages:
	@bash scripts/packages.sh

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "outrider needs Python 3.11 or later; set PYTHON=…" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: setup
	@$(BIN)/outrider lab --demo

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: setup lint
	@bash scripts/test.sh $(PYTEST_ARGS)

# The long versions of short tests: a hundred kills, a hundred attacks followed by a kill.
test-slow: setup
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

# What the collector's acceptor makes of any bytes, until it is stopped, or FUZZ_ARGS says when.
fuzz: setup
	cd tests/support && ../../$(BIN)/python -m batch_fuzz -max_len=4096 $(FUZZ_ARGS)

bench: setup
	$(BIN)/python -m bench

# FALCO_RULES is a folder with Falco's three stock rule files; needs root and runc
falco-compatibility: setup
	@test -n "$(FALCO_RULES)" || { echo "set FALCO_RULES=FOLDER, the folder with Falco's three stock rule files" >&2; exit 2; }
	@for mode in task host; do $(BIN)/python -m outrider_lab.compatibility "$(FALCO_RULES)" --mode $$mode --write docs/falco-compatibility.md; done

docs: $(VENV)/.installed
	@$(BIN)/python -m outrider_cli.reference
	@$(BIN)/python -m outrider_cdk

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
