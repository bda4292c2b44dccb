# Each target makes the environment it needs (.venv) with any Python >= 3.11 and pip:
#     make demo PYTHON=python3.12
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.PHONY: help demo test check proto torture bench bench-full format clean

VENV ?= .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
# the first of these that exists and is new enough; override with PYTHON=...
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	>/dev/null 2>&1 && { echo $$p; break; }; done)
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check
ARGS ?=
# of the benchmarks: wordnet-minilm when VECDB_DATA names its directory, else data made here
DATASET ?= $(if $(VECDB_DATA),wordnet-minilm,sift-like)

help:    ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 18

demo: $(VENV)/.installed    ## serve a database, ingest real texts into it and ask it in words
	$(PY) examples/demo.py $(ARGS)

test: $(VENV)/.installed-dev    ## the default tests
	$(PY) -m pytest -n auto --dist worksteal $(ARGS)

check: $(VENV)/.installed-dev    ## format, lint, types, import layers, tidiness
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/buf lint proto
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PY) -m pytest -q -p no:randomly tests/test_tidy.py

proto: $(VENV)/.installed-dev    ## generate vecdb/_pb from proto/
	$(BIN)/buf lint proto
	$(PY) proto/generate.py

torture: $(VENV)/.installed-dev    ## crashes, faults, corruption and fuzzing at length
	$(PY) -m pytest -m torture --timeout=3600 $(ARGS)

bench: $(VENV)/.installed-bench    ## ten minutes beside the fastest libraries, with a report
	$(PY) -m benchmarks run ann --dataset $(DATASET) $(if $(filter sift-like,$(DATASET)),--rows 100000) \
		--engines vecdb,hnswlib,faiss-hnsw,usearch-f32,symphonyqg --settings 1 --build-threads 2 \
		--out benchmark-results $(ARGS)

bench-full: $(VENV)/.installed-bench    ## every library with every setting; hours
	$(PY) -m benchmarks run ann --dataset $(DATASET) --install --out benchmark-results $(ARGS)

$(VENV)/.installed-bench: pyproject.toml | $(PY)
	@echo "installing the libraries to compare with into $(VENV)"
	$(PIP_INSTALL) -e '.[bench]'
	@touch $@

format: $(VENV)/.installed-dev    ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --quiet .

clean:    ## remove the environment and every cache inside the checkout
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache demo-data
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@test -n "$(PYTHON)" || { echo "vecdb needs Python 3.11 or newer with venv; name one with PYTHON=..." >&2; exit 1; }
	$(PYTHON) -c 'import sys; sys.exit("vecdb needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(PY)
	@echo "installing into $(VENV); the first time, hnswlib compiles for about a minute"
	$(PIP_INSTALL) -e '.[server,ingest]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(PY)
	@echo "installing into $(VENV); the first time, hnswlib compiles for about a minute"
	$(PIP_INSTALL) -e '.[dev]'
	@touch $(VENV)/.installed $@
