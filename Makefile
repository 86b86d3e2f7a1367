# One command each for what one does with a checkout; `make` lists them.
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
# A process per core; tests of one file stay together, they share what is slow to start.
PARALLEL := -n auto --dist loadfile
# What takes long beside the faults.
LONG_FLOWS := tests/flow/test_long_things.py tests/flow/test_graceful.py
SOURCES := client/src producer/src builder/src notifier/src handlers/src benchmarks

.PHONY: help setup demo test test-unit test-brokers faults soak lint bench bench-setup lock clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## make .venv with everything in it, the handlers wheel, and RabbitMQ if there is none
	@sh scripts/setup.sh

demo: setup ## three trainings ask for one dataset; FRESH=1 forgets earlier demos
	@$(BIN)/python examples/demo.py

test: lint ## all checks and all tests; PYTEST_ARGS="-k name" picks some
	@$(BIN)/python -m pytest $(PARALLEL) -m "not long" $(PYTEST_ARGS)

test-unit: setup ## the tests that need no broker
	@$(BIN)/python -m pytest $(PARALLEL) tests/unit $(PYTEST_ARGS)

faults: setup ## every fault of docs/faults.md, which it writes anew
	@rm -rf .cache/faults
	@$(BIN)/python -m pytest $(PARALLEL) tests/faults $(LONG_FLOWS) $(PYTEST_ARGS)
	@$(BIN)/python -m tests.faults.report

MINUTES ?= 5
SEED ?= 1

soak: setup ## faults at random for MINUTES=n, as SEED=n says; goes into docs/faults.md
	@$(BIN)/python -m tests.soak --minutes $(MINUTES) --seed $(SEED) $(SOAK_ARGS)
	@$(BIN)/python -m tests.faults.report --runs

test-brokers: setup ## the tests of broker and flows on this RabbitMQ and on newer ones
	@$(BIN)/python scripts/brokers.py $(PARALLEL) -m "not long" $(PYTEST_ARGS)

lint: setup ## style, types and the directions of imports
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy $(SOURCES)
	@$(BIN)/lint-imports

bench: bench-setup ## docs/benchmarks.md: each figure beside a limit or a peer; QUESTIONS="packing" asks some
	@$(BIN)/python -m benchmarks $(QUESTIONS)

bench-setup: setup ## make .cache/peers with what the benchmarks compare with
	@sh scripts/setup.sh peers

lock: ## write the lock files anew; LOCK_ARGS=--upgrade takes newer versions
	@sh scripts/setup.sh lock

clean: ## remove what was made here; data in DATAMILL_HOME stays
	rm -rf .venv .cache .demo handlers/dist .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache .hypothesis
