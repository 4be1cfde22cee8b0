# One command each. Every target does its own set-up; a second run of `make setup` has nothing to do.
#
#   PYTHON=/path/to/python3.12 make setup     another Python (3.11 or newer)
#   RABBITMQ_HOME=/path make test             another RabbitMQ (the folder that holds sbin/rabbitmq-server)
#   POSTGRESQL_HOME=/path make test           another PostgreSQL (the folder that holds bin/postgres)
#   PYTEST_ARGS='-x -k money' make test       part of the tests

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
STAMPS := .make
SETUP := .ci/setup
DEMO_ARGS ?=
BENCH_ARGS ?=
PYTEST_ARGS ?=
# These mostly wait, for brokers and for time to pass, so `make test` runs the others beside them.
WAITING_TESTS := tests/integration tests/fuzz
FAULT_TESTS ?= tests/faults tests/fuzz tests/integration/test_lane_ends.py tests/property/test_pipeline_model.py
BROKER_TESTS ?= tests/integration tests/conformance/test_lanes.py tests/faults

.PHONY: help setup demo test test-brokers faults lint bench clean

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMPS)/dev $(STAMPS)/rabbitmq $(STAMPS)/postgresql ## install Python packages into .venv, and RabbitMQ and PostgreSQL where missing

demo: $(STAMPS)/dev $(STAMPS)/rabbitmq ## stream payments through real workers and account for every one
	@$(BIN)/payment-worker demo $(DEMO_ARGS)

test: $(STAMPS)/dev $(STAMPS)/rabbitmq $(STAMPS)/postgresql ## run every test
	@$(SETUP) browser
	@export WIRE_FUZZ_SECONDS=$${WIRE_FUZZ_SECONDS:-60}; \
	if [ -n "$(strip $(PYTEST_ARGS))" ]; then exec $(BIN)/python -m pytest $(PYTEST_ARGS); fi; \
	$(BIN)/python -m pytest $(WAITING_TESTS:%=--ignore=%) >$(STAMPS)/test.log 2>&1 & others=$$!; \
	status=0; $(BIN)/python -m pytest $(WAITING_TESTS) || status=$$?; \
	wait $$others || status=$$?; cat $(STAMPS)/test.log; exit $$status

faults: $(STAMPS)/dev $(STAMPS)/rabbitmq ## the whole fault suite, ten minutes of fuzz, and connections left idle for some
	@WIRE_FUZZ_SECONDS=$${WIRE_FUZZ_SECONDS:-600} LANE_QUIET_SECONDS=$${LANE_QUIET_SECONDS:-150} \
		$(BIN)/python -m pytest --faults whole $(FAULT_TESTS) $(PYTEST_ARGS)

test-brokers: $(STAMPS)/dev $(STAMPS)/rabbitmq $(STAMPS)/postgresql ## run the integration and fault suites on RabbitMQ 3.10, 4.0 and 4.3 (as root)
	@.ci/test-brokers $(BIN)/python $(BROKER_TESTS) $(PYTEST_ARGS)

lint: $(STAMPS)/dev ## ruff, mypy, the dependency rules, and drift of the JSON Schemas
	@$(SETUP) step "ruff check" $(BIN)/ruff check .
	@$(SETUP) step "ruff format" $(BIN)/ruff format --check .
	@$(SETUP) step "mypy" $(BIN)/mypy
	@$(SETUP) step "import-linter" $(BIN)/lint-imports
	@$(SETUP) step "JSON Schemas" $(BIN)/python -m schemas.export --check

bench: $(STAMPS)/bench $(STAMPS)/rabbitmq $(STAMPS)/postgresql ## measure everything (45 minutes) and renew the tables; BENCH_ARGS=--quick for a look, or names of benchmarks
	@$(SETUP) c_client
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

clean: ## remove what make made; installed system packages stay
	@rm -rf $(VENV) $(STAMPS) .brokers build dist demo-output .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis \
		.import_linter_cache *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(SETUP) venv $(VENV)

$(STAMPS)/dev: pyproject.toml constraints.txt | $(BIN)/python
	@$(SETUP) packages $(VENV) dev
	@mkdir -p $(@D) && touch $@

$(STAMPS)/bench: $(STAMPS)/dev
	@$(SETUP) packages $(VENV) dev,bench
	@touch $@

# Asked every time, since they may go or come between two runs; the answer takes milliseconds.
.PHONY: $(STAMPS)/rabbitmq $(STAMPS)/postgresql
$(STAMPS)/rabbitmq $(STAMPS)/postgresql:
	@$(SETUP) $(@F)
