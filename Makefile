# `make` alone lists the targets. `make demo` and `make test` set everything up by themselves.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# torch is installed first, at the version that was tested, so that no other package picks one. Where pip would bring
# GPU libraries that you do not want, give it the index of the CPU builds: make setup TORCH="torch==2.13.0 --index-url URL".
TORCH  ?= torch==2.13.0
STAMP  := $(VENV)/.stamp
JOBS   ?= 2
# Test processes share the cores: one thread each, sleeping while it waits.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: help setup demo test lint bench clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(STAMP) ## create .venv with everything that the project needs

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "affekt needs Python 3.11 or newer")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable '.[all,dev]'
	@touch $(STAMP)

demo: $(STAMP) ## compare four encoders on generated music and train a predictor, on any laptop, in under three minutes
	$(BIN)/affekt compare experiments/demo.yaml
	$(BIN)/affekt train experiments/demo.yaml --encoder handcrafted --out models/demo
	@echo 'Drop songs on a page: $(BIN)/affekt serve models/demo'

test: $(STAMP) lint ## check style and types, run every test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

lint: $(STAMP) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP) ## print speed ratios against named peers
	@for script in benchmarks/[a-z]*.py; do [ $$script = benchmarks/common.py ] || $(BIN)/python $$script || exit 1; done

clean: ## remove .venv and caches (runs/ stays)
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info
