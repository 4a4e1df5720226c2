# Two commands do all their own set-up on a fresh machine:
#   make demo    watch kvwatch follow an engine into overload
#   make test    everything CI runs
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

PYTHON ?= python3
VENV ?= .venv
CACHE ?= .cache
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTEST := $(BIN)/python -m pytest
WORKERS ?= 2
# Some of the fast tests wait for real processes, so that it takes three workers to keep two cores busy.
FAST_WORKERS ?= 3
FAST := not vllm and not prometheus and not browser and not node and not helm and not image
# Images are built and mounted by root only, as CI is.
AS_ROOT := $(if $(filter 0,$(shell id -u)),test-image)

export PYTHON
export PATH := $(CURDIR)/$(CACHE)/prometheus/usr/bin:$(PATH)
export KVWATCH_VLLM_VENV ?= $(CURDIR)/$(CACHE)/vllm

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Environment. `.run` has what users get, `.dev` the tools as well; either is made anew when the pins change.

$(VENV)/.made:
	scripts/make_venv.sh $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.run

.PHONY: setup setup-prometheus setup-browser setup-helm setup-vllm
setup: $(VENV)/.dev ## Make .venv with kvwatch and all tools
setup-prometheus: ## Make prometheus, promtool and alertmanager available
	scripts/setup_prometheus.sh $(CACHE)/prometheus
setup-browser: ## Make a headless Chromium available
	scripts/setup_browser.sh
setup-helm: $(VENV)/.made ## Fetch Helm 3 and Helm 4 into .cache/helm (75 MB, once)
	PYTHON=$(BIN)/python scripts/setup_helm.sh $(CACHE)/helm
setup-vllm: ## Install a real vLLM into .cache/vllm (2 minutes, 2.5 GB, once)
	scripts/setup_vllm.sh '$(KVWATCH_VLLM_VENV)'

.PHONY: demo
demo: $(VENV)/.run ## Two embedded engines, one ramping into overload, watched by kvwatch
	$(BIN)/kvwatch demo $(ARGS)

# Checks.

.PHONY: lint types layers test-fast test-short test-mutation test-stack test-prometheus test-browser test-dashboards test-helm test-image test-vllm
lint: $(VENV)/.dev ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
types: $(VENV)/.dev ## mypy --strict
	$(BIN)/mypy --strict
layers: $(VENV)/.dev ## import-linter: data flows one way, the core does no I/O
	$(BIN)/lint-imports
test-fast: $(VENV)/.dev ## Tests that need nothing but Python
	$(PYTEST) -n $(FAST_WORKERS) --dist loadfile -m '$(FAST)' $(ARGS)
test-short: $(VENV)/.dev ## The same without those that take more than four seconds each
	$(PYTEST) -n $(FAST_WORKERS) --dist loadfile -m '$(FAST) and not long' $(ARGS)
test-mutation: $(VENV)/.dev ## Twenty small faults in what is computed: the tests must find them
	$(BIN)/python -m bench.mutation --check --jobs $(WORKERS)
test-prometheus: $(VENV)/.dev setup-prometheus ## Tests against real prometheus, promtool and alertmanager
	$(PYTEST) -n $(WORKERS) --dist loadfile -m 'prometheus and not helm' --ignore tests/e2e $(ARGS)
# They wait most of the time, so each has a worker; they run beside no other tests, since time in them is 30 times as fast.
test-stack: $(VENV)/.dev setup-prometheus ## All parts together, from the engine to the webhook, thirty times as fast
	$(PYTEST) -n 3 --dist loadfile -m prometheus tests/e2e $(ARGS)
test-browser: $(VENV)/.dev setup-browser ## The live page and the reports in a headless Chromium
	$(PYTEST) -m browser $(ARGS)
test-dashboards: $(VENV)/.dev ## Dashboards against Grafana's TypeScript types, reports against an HTML validator (42 MB once)
	$(PYTEST) -m node $(ARGS)
test-helm: $(VENV)/.dev setup-prometheus setup-helm ## The chart, rendered by Helm 3 and Helm 4
	$(PYTEST) -n $(WORKERS) -m helm $(ARGS)
test-image: $(VENV)/.dev ## Build the image and run it (as root, two minutes)
	$(PYTEST) -m image $(ARGS)
test-vllm: $(VENV)/.dev setup-prometheus setup-vllm ## Tests against a real vLLM on this CPU (minutes)
	$(PYTEST) -m vllm $(ARGS)

.PHONY: quick test
quick: lint types layers test-short ## What to run every day: nothing that takes long
test: ## Everything CI runs, in order, stopping at the first failure
	@set -e; for step in lint types layers test-fast test-mutation test-stack test-prometheus test-browser \
	  '--jobs 2 --output-sync=target test-dashboards test-helm $(AS_ROOT)' test-vllm; do \
	  echo "== $$step"; started=$$SECONDS; \
	  $(MAKE) --no-print-directory $$step; \
	  echo "== $$step took $$((SECONDS - started)) s"; done

.PHONY: fuzz-configs fuzz-expositions fuzz-lines fuzz-recordings fuzz-states fuzz-traces
fuzz-configs: $(VENV)/.dev ## Ten minutes of damaged configurations and web configurations; not in CI
	$(BIN)/python -m tests.fuzz.configs $(ARGS)
fuzz-expositions: $(VENV)/.dev ## Ten minutes of changed pages of metrics; not in CI
	$(PIP) install --constraint constraints.txt --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz.expositions $(ARGS)
fuzz-lines: $(VENV)/.dev ## Ten minutes of damaged log lines; not in CI
	$(PIP) install --constraint constraints.txt --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz.lines $(ARGS)
fuzz-recordings: $(VENV)/.dev ## Ten minutes of damaged recordings; not in CI
	$(BIN)/python -m tests.fuzz.recordings $(ARGS)
fuzz-states: $(VENV)/.dev ## Ten minutes of damaged state files; not in CI
	$(BIN)/python -m tests.fuzz.states $(ARGS)
fuzz-traces: $(VENV)/.dev ## Ten minutes of random exports to the receiver of traces; not in CI
	$(PIP) install --constraint constraints.txt --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz.otlp $(ARGS)

.PHONY: audit release
audit: $(VENV)/.made ## Known weaknesses of the pinned packages; fails where no advisories can be had
	scripts/audit.sh $(CACHE)/audit
release: $(VENV)/.made setup-helm ## Build wheel, sources, list of parts, chart and hashes into dist/
	CACHE=$(CACHE) scripts/build_release.sh dist $(VERSION)

.PHONY: format chart constraints clean
format: $(VENV)/.dev ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
chart: $(VENV)/.dev ## Bring helm/kvwatch in step with alerts, dashboards, options and values
	$(BIN)/python scripts/sync_chart.py
constraints: ## Pin the newest versions that fit pyproject.toml
	rm -rf $(CACHE)/pins && scripts/make_venv.sh $(CACHE)/pins
	$(CACHE)/pins/bin/python -m pip install --quiet --disable-pip-version-check '.[dev]'
	{ head -n 1 constraints.txt; $(CACHE)/pins/bin/python -m pip freeze | grep -vi '^kvwatch\b'; } > $(CACHE)/pins.txt
	mv $(CACHE)/pins.txt constraints.txt && rm -rf $(CACHE)/pins
clean: ## Remove everything that the targets above made, the real vLLM too
	rm -rf $(VENV) $(CACHE) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
