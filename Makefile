# Every target begins with `setup`, which is quick when nothing changed. `make help` lists them.
# PYTHON=/path/to/python3.12 chooses the interpreter, VENV=… the virtual environment, DIR=… the data of `make up`.

VENV ?= .venv
DIR ?= .holdgate
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCKS := requirements/build.txt requirements/dev.txt

.DEFAULT_GOAL := help
.PHONY: help setup demo up drill torture test lint format bench docs chart wheel lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## virtual environment with the locked dependencies, checked by hash

$(STAMP): pyproject.toml $(LOCKS) deploy/setup.sh
	@sh deploy/setup.sh "$(VENV)" "$(PYTHON)"

demo: setup ## the whole system, real jobs through every outcome, expected and seen
	@$(BIN)/holdgate demo

up: setup ## a system that keeps running, data in DIR
	@$(BIN)/holdgate up --dir $(DIR)

drill: setup ## the drill of an operator, against the system of `make up`
	@$(BIN)/holdgate drill --dir $(DIR)

torture: setup ## ten minutes of faults against a cluster under load, and whether everything held
	@$(BIN)/holdgate torture --minutes 10

test: setup ## every test, against real NATS, real Redis and a real Chromium
	@sh deploy/browser.sh
	@sh deploy/promtool.sh
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

lint: setup ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup ## ruff: format, and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup ## figures: a table, and bench/results.json
	@$(BIN)/python -m bench

docs: setup ## the pages that are made from the code
	@$(BIN)/holdgate settings --markdown > docs/reference/settings.md
	@$(BIN)/python docs/pages.py
	@$(BIN)/python docs/pages.py

chart: setup ## what the Helm chart renders to (needs helm)
	@$(BIN)/python deploy/helm/chart.py

wheel: setup ## dist/holdgate-….whl
	@rm -rf dist && $(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .

lock: setup ## the lock files anew, with the newest versions that pyproject.toml allows (needs uv)
	uv pip compile --upgrade --universal --generate-hashes --no-annotate --no-header pyproject.toml --extra embedded --extra fast --extra dev --extra bench --extra tracing -o requirements/dev.txt
	uv pip compile --upgrade --universal --generate-hashes --no-annotate --no-header -c requirements/dev.txt pyproject.toml --extra embedded -o requirements/runtime.txt
	uv pip compile --upgrade --universal --generate-hashes --no-annotate --no-header -c requirements/dev.txt pyproject.toml --extra tracing -o requirements/image.txt
	uv pip compile --upgrade --universal --generate-hashes --no-annotate --no-header -c requirements/dev.txt requirements/build.in -o requirements/build.txt

clean: ## everything that was made here, but not the data of `make up`
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .import_linter_cache .hypothesis .pytest_cache bench/profile
	rm -rf /dev/shm/holdgate-tests-$$(id -u)
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
