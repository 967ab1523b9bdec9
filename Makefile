# make demo       install, simulate four days of captures, run everything on them
# make test       lint, types, tests
# make benchmark  every script in benchmarks/
# make docs       the pages that are generated from the program
# make clean      remove .venv, demo/ and caches
#
# PYTHON=/path/to/python chooses the interpreter of a new .venv (3.11 or newer).

PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.installed-runtime
DEVELOPMENT := $(VENV)/.installed-development
DEMO := demo
DEMO_SYMBOLS := BTCUSDT ETHUSDT SOLUSDT

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test benchmark docs clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

$(BIN)/python:
	python=$$(tools/find_python.sh $(PYTHON)) && tools/make_venv.sh "$$python" $(VENV)

$(RUNTIME): requirements.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(DEVELOPMENT): requirements-dev.lock $(RUNTIME)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	@touch $@

demo: $(RUNTIME)
	rm -rf $(DEMO)/captures $(DEMO)/results
	$(BIN)/liqlab simulate $(DEMO)/captures --days 4 --symbols $(DEMO_SYMBOLS) --seed 7
	$(BIN)/liqlab run $(DEMO)/captures -o $(DEMO)/results
	@echo
	@echo "Findings  $(DEMO)/results/FINDINGS_v26_liquidations.md"
	@echo "Figures   $(DEMO)/results/*.png (start with liquidations_cascade_examples.png)"
	@echo "Tables    $(DEMO)/results/tables/*.parquet"

test: $(DEVELOPMENT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n auto --dist loadfile -rs

benchmark: $(DEVELOPMENT)
	@set -e; for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

docs: $(RUNTIME)
	$(BIN)/python tools/make_docs.py

clean:
	rm -rf $(VENV) $(DEMO) build dist .mypy_cache .ruff_cache .hypothesis
