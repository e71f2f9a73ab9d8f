# `make` creates the environment .venv once. `make demo` and `make test` need only Python 3.11 and pip on the machine.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
JOBS ?= 2
export OMP_NUM_THREADS ?= 1

.PHONY: help demo test check lint docs clean

help:
	@echo "make demo    train a tiny model with SFT, then DPO, and compare the two"
	@echo "make test    run the tests"
	@echo "make check   check format, lint, types and the generated pages, and run the tests"
	@echo "make docs    write the generated pages again"
	@echo "make clean   remove the environment and the caches of the tools"

$(VENV)/.made: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "alignc needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.made-dev: $(VENV)/.made
	$(INSTALL) --editable '.[dev]'
	@touch $@

demo: $(VENV)/.made
	$(BIN)/python examples/demo.py

test: $(VENV)/.made-dev
	$(BIN)/python -m pytest -n $(JOBS) -q

lint: $(VENV)/.made-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint
	$(BIN)/python -m alignc.docs --check
	$(MAKE) test

docs: $(VENV)/.made
	$(BIN)/python -m alignc.docs

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
