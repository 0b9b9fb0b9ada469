# Everything that a fresh machine with Python >= 3.11 and make needs.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
STAGE  := build/tree
STAMP  := $(VENV)/.installed
PEERS  := $(VENV)/peers

.DEFAULT_GOAL := help
.PHONY: help demo test test-services test-bridges lint types layers unit tree bench clean

help:           ## Show this list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | sort

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("fogline needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; set PYTHON=") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: pyproject.toml constraints.txt Makefile | $(VENV)/bin/python
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt Makefile | $(VENV)/bin/python
	$(PIP) -e '.[train,merchant,report,postgres,dev]' torch==2.13.0
	@touch $@ $(VENV)/.base

$(VENV)/.services: pyproject.toml constraints.txt Makefile | $(VENV)/bin/python
	$(PIP) -e '.[train,merchant,report,scale,postgres,serve,dev]' torch==2.13.0
	@touch $@ $(VENV)/.dev $(VENV)/.base

# Peers that want other versions than ours, each in an environment of its own with the versions that were tested.
$(PEERS)/%/.installed: pyproject.toml constraints-%.txt Makefile | $(VENV)/bin/python
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-$*.txt -e '.[$*]' \
		pytest pytest-asyncio pytest-timeout hypothesis uv
	@touch $@

demo: $(VENV)/.base  ## Set up, play TRUST-SQL on Chinook, evaluate it, print the score table.
	$(BIN)/fogline play TrustSQL-v0 --agent oracle --task chinook-003
	$(BIN)/fogline eval TrustSQL-v0 --agent oracle --store runs/demo.db

test: $(VENV)/.dev lint types layers unit  ## Set up, then lint, types, layers, tests.

lint: $(VENV)/.dev  ## ruff: rules and format.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

tree: $(VENV)/.dev  ## Stage the installed package as plain folders for static tools.
	$(BIN)/python tests/stage_tree.py $(STAGE)

types: tree  ## mypy --strict on what ships.
	cd $(STAGE) && MYPYPATH=. ../../$(BIN)/mypy --config-file ../../pyproject.toml -p fogline

layers: tree  ## Imports run down the design's table.
	cd $(STAGE) && PYTHONPATH=. ../../$(BIN)/lint-imports --config ../../pyproject.toml --no-cache

unit: $(VENV)/.dev  ## The tests that need no service.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests -m 'not slow and not services' -n 2 --dist worksteal

test-services: $(VENV)/.services  ## What needs PostgreSQL, Ray, Chromium or a model server.
	$(BIN)/python -m pytest tests -m 'services and not slow'
	$(MAKE) test-bridges

test-bridges: $(PEERS)/openenv/.installed $(PEERS)/verifiers/.installed  ## The bridges to OpenEnv and verifiers, beside the real packages.
	FOGLINE_REQUIRE=openenv $(PEERS)/openenv/bin/python -m pytest tests/trainers/bridges/test_bridge_openenv.py
	PATH="$(abspath $(PEERS)/verifiers/bin):$$PATH" FOGLINE_REQUIRE=verifiers \
		$(PEERS)/verifiers/bin/python -m pytest tests/trainers/bridges/test_bridge_verifiers.py

bench: $(VENV)/.dev  ## Every speed claim, measured in one run.
	$(BIN)/fogline bench

clean:          ## Remove what the other targets made.
	rm -rf $(VENV) build dist runs *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
