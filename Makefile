# Every target sets up what it needs, so any of them can be the first command ever typed.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
export PYTHONPATH := $(CURDIR)
STACK := $(BIN)/python -m deploy.local
ONLY ?=
# Tests that mostly wait: two files at a time; which of them stay together says tests/sharing.py.
PAIRED := --numprocesses 2 --dist loadfile --no-loadscope-reorder
ARGS ?=

.PHONY: help
help: ## What can be done here
	@echo "make TARGET, where each target sets up what it needs:"
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-19s%s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "A second system beside the first: PORT_OFFSET=1000 STATE_DIR=/tmp/second make up"
	@echo "A part of it: ONLY=kafka,mongo make up"

.venv/.local: requirements/local.txt
	@echo "Setting up the virtual environment: .venv (about a minute the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": set PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/local.txt
	@touch $@

.venv/.dev: .venv/.local requirements/dev.txt
	@echo "Adding the tools for tests and checks"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

.PHONY: setup
setup: .venv/.dev ## The virtual environment with everything for development

.PHONY: run
run: .venv/.local ## The whole system in the foreground; Ctrl-C stops it
	@exec $(STACK) run --with-parent --only "$(ONLY)"

.PHONY: up
up: .venv/.local ## The whole system in the background; returns when it is ready
	@$(STACK) up --only "$(ONLY)"

.PHONY: down
down: .venv/.local ## Stop what `make up` started
	@$(STACK) down

.PHONY: status
status: .venv/.local ## What is running, and where
	@$(STACK) status

.PHONY: demo
demo: .venv/.local ## Play a whole story against the system and check every line of it
	@$(STACK) up --quiet
	@$(BIN)/python -m deploy.local.demo

.PHONY: doctor
doctor: .venv/.local ## Look at every link from Meta to the reply, with the cure of what is broken; ARGS=--json
	@$(STACK) tool services.console.doctor $(ARGS)

.PHONY: replay
replay: .venv/.local ## Put dead letters back on their topics; ARGS="--list", --dry-run, --service NAME, --json
	@$(STACK) tool services.console.replay $(ARGS)

.PHONY: rebuild-analytics
rebuild-analytics: .venv/.local ## All figures anew, from the log and the archive, while the system runs
	@$(STACK) tool services.analytics.rebuild

.PHONY: test
test: setup ## Everything: checks, unit, property, integration and end-to-end tests
	@$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest tests --ignore tests/browser --ignore tests/unit --durations 20 $(PAIRED)

.PHONY: test-browser
test-browser: setup ## The chat page and the console in a real browser (needs Chromium, or CHROMIUM=path)
	$(BIN)/python -m pytest tests/browser --durations 10 $(PAIRED)

.PHONY: test-late
test-late: setup ## The browser's tests where everything may come late: finds what holds by luck; LATE_MS=300 SEED=1
	$(BIN)/python -m pytest tests/browser -p tests.late $(PAIRED)

.PHONY: faults
faults: setup ## One fault at a time, many seeds: SEEDS=20, or 7-20 to go on; SCENARIO=part of a name; LONG=1; ARGS=--help
	@$(BIN)/python -m tests.faults $(ARGS)

.PHONY: soak
soak: setup ## An hour at half of saturation with a fault each minute: MINUTES=60, SEED= to repeat one
	@$(BIN)/python -m tests.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

.venv/.fuzz: .venv/.dev requirements/fuzz.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	@touch $@

.PHONY: fuzz
fuzz: .venv/.fuzz ## Search for input that breaks a law of the gateway, guided by coverage: MINUTES=5 in all
	@$(BIN)/python -m tests.fuzz $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

.PHONY: lint
lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy libs services simulator deploy tests
	$(BIN)/lint-imports

# Side by side: the type checker keeps one processor busy and no more.
.PHONY: check
check: setup ## What needs no broker: format, lint, types, contracts, unit tests
	@$(MAKE) --no-print-directory --jobs 2 lint unit

.PHONY: unit
unit: setup
	$(BIN)/python -m pytest tests/unit --numprocesses auto

.PHONY: bench
bench: setup ## Measure: print a table of ratios, write .local/bench.json
	@$(BIN)/python -m tests.bench

.PHONY: screenshots
screenshots: setup ## Take docs/images anew from the running system (needs Chromium)
	@$(STACK) up --quiet
	$(BIN)/python -m tests.browser.screenshots

.PHONY: docs
docs: setup ## Write what is generated: docs/asyncapi.yaml, OpenAPI documents, tables in docs/, parts of deploy/k8s
	$(BIN)/python -m libs.common.events.asyncapi docs/asyncapi.yaml
	$(BIN)/python -m services.takeover.api docs/openapi-takeover.json
	$(BIN)/python -m services.console.api docs/openapi-console.json
	$(BIN)/python -m tests.unit.docs.variables docs/configuration.md
	$(BIN)/python -m deploy.capacity --docs docs/scaling.md
	$(BIN)/python -m tests.faults.rows docs/reliability.md
	$(BIN)/python -m deploy.k8s.generated

.PHONY: dashboards
dashboards: setup ## Write Grafana's dashboards, deploy/grafana/dashboards/*.json; DOCS_URL=where docs/ can be read
	$(BIN)/python -m deploy.observability deploy/grafana/dashboards

.PHONY: requirements
requirements: setup ## Write requirements/*.txt anew from pyproject.toml
	for extra in local dev otel gateway conversation sender takeover analytics console simulator; do \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-emit-index-url --extra $$extra pyproject.toml --output-file requirements/$$extra.txt; done
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --group image --output-file requirements/image.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --group fuzz --output-file requirements/fuzz.txt

# No virtual environment: who runs it in containers may have no use for one.
.PHONY: compose-secrets
compose-secrets: ## The secrets and the .env of deploy/compose; nothing that is there is written again
	@$(PYTHON) -m deploy.compose

TAG ?= local
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGES := gateway conversation sender takeover analytics console simulator

.PHONY: images
images: ## An image of each service with Docker, for deploy/k8s; TAG=1.4.2 or local
	for service in $(IMAGES); do \
	  docker build --file deploy/Dockerfile --build-arg SERVICE=$$service --build-arg VERSION=$(VERSION) \
	    --build-arg REVISION="$$(git rev-parse HEAD)" --tag messenger-assistant/$$service:$(TAG) .; done

.PHONY: clean
clean: ## Stop the system and forget its state, tools and caches
	@if [ -x $(BIN)/python ] && [ -f .venv/.local ]; then $(STACK) clean; fi
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
