# Nothing is needed before `make quickstart` or `make test` but git and Python >= 3.11.
PYTHON ?= python3
VENV   ?= .venv
SEVEN  ?= .venv-sevennet
BIN    := $(VENV)/bin
RUNS   ?= runs
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1

.PHONY: quickstart test test-slow test-sevennet lint types contracts docs benchmarks drill check clean help

help:            ## list the targets
	@grep -E '^[a-z-]+: .*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

quickstart: $(VENV)/.core   ## install, run workflows/quickstart.yaml, print the ranked table and where the report is
	$(BIN)/ionsieve run workflows/quickstart.yaml --out $(RUNS)/quickstart || [ $$? -eq 3 ]  # 3: done, some candidates failed

test: $(VENV)/.dev   ## install with the test tools, run the fast tests
	$(BIN)/python -m pytest -n 2 --dist loadscope

test-slow: $(VENV)/.dev   ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

test-sevennet: $(SEVEN)/.ready   ## SevenNet's contract, in an environment of its own (its e3nn is not MACE's)
	$(SEVEN)/bin/python -m pytest -m sevennet tests/contracts/test_potentials_sevennet.py

lint: $(VENV)/.dev   ## style
	$(BIN)/ruff check pipeline tests benchmarks
	$(BIN)/ruff format --check pipeline tests benchmarks

types: $(VENV)/.dev   ## mypy --strict on the package
	$(BIN)/mypy

contracts: $(VENV)/.dev   ## the import order of docs/architecture.md
	$(BIN)/lint-imports

check: lint types contracts   ## all that needs no run

docs: $(VENV)/.docs   ## build the documentation site, warnings are errors
	$(BIN)/mkdocs build --strict

benchmarks: $(VENV)/.dev   ## run every benchmark and write docs/benchmarks.md
	$(BIN)/python benchmarks/board.py

drill: $(VENV)/.dev   ## 100 random faults against a local campaign
	$(BIN)/python benchmarks/drill.py

# The virtual environment; torch first, so that the tested build is the one that stays.
$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("ionsieve needs Python >= 3.11, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

# sevenn wants e3nn >= 0.5, mace-torch 0.4.4: sevenn comes last and its e3nn stays; pip says so, and MACE does not run here.
$(SEVEN)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(SEVEN)
	grep -v '^e3nn==' constraints.txt > $(SEVEN)/constraints.txt
	$(SEVEN)/bin/python -m pip install --quiet --constraint $(SEVEN)/constraints.txt torch
	$(SEVEN)/bin/python -m pip install --quiet --constraint $(SEVEN)/constraints.txt --editable .
	$(SEVEN)/bin/python -m pip install --quiet --constraint $(SEVEN)/constraints.txt 'sevenn==0.13.0' 'e3nn==0.6.0' pytest
	@touch $@

$(VENV)/.docs: $(VENV)/.core
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@

clean:           ## remove the environment and caches, never results
	rm -rf $(VENV) $(SEVEN) .pytest_cache .mypy_cache .ruff_cache .hypothesis site
