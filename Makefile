# make          what can be made here
# make repro    set up, run the whole pipeline, print the results
# make test     set up, run the tests
# VENV=folder   where the environment is (default .venv)

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := $(abspath $(VENV))/bin
READY := $(VENV)/.ready
export PATH := $(BIN):$(PATH)

.PHONY: help setup repro test lint bench lock

help: ## what can be made here
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(READY) ## make the environment from requirements.lock (about 6 GB, minutes)

$(READY): requirements.lock pyproject.toml
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: install it, or name it with make PYTHON=..."; exit 1; }
	@echo "Setting up the environment in $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

repro: setup ## run the whole pipeline of the active profile and print its results
	@panodiff doctor --brief
	@started=$$(date +%s); dvc repro && panodiff summary --since $$started

test: setup ## run all tests, one whole pipeline run among them
	@pytest

lint: setup ## style and types
	@ruff check . && ruff format --check . && mypy

bench: setup ## measure against peers; prints ratios (the others of benchmarks/ need data or weights, or train at length)
	@for name in diffusion duplicates evaluation harmonize kill study study_coverage superres; do echo "== $$name"; python benchmarks/$$name.py || exit 1; done

lock: ## write requirements.lock anew from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet -o requirements.lock
