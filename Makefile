# Everything a newcomer types. Each target sets up .venv first when needed (once; `make demo PYTHON=...` to choose).
VENV ?= .venv
PEERS ?= .venv-peers
READY = $(VENV)/.ready
RUN = $(VENV)/bin
# Else each process compiles what it imports: packages are installed without bytecode.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo up test check bench faults clean distclean

help:  ## show this help
	@echo "IncidentScope: telemetry in, ranked incidents and alerts out."
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  Everything else: $(RUN)/incidentscope --help (after any of the above)"

$(READY): pyproject.toml deploy/set-up
	@VENV=$(VENV) PYTHON="$(PYTHON)" deploy/set-up

demo: $(READY)  ## a real small shop, a real fault, an incident with ranked causes and a delivered alert
	@$(RUN)/incidentscope demo

up: $(READY)  ## the stack and the product, waiting for your telemetry; Ctrl-C ends it
	@$(RUN)/incidentscope up

test: $(READY)  ## the test suite, in three processes (TESTS=path and ARGS=... narrow it)
	$(RUN)/python -m pytest -n 3 $(TESTS) $(ARGS)

check: $(READY)  ## lint, format, types, import contracts
	$(RUN)/ruff check
	$(RUN)/ruff format --check
	$(RUN)/mypy
	$(RUN)/lint-imports

bench: $(READY)  ## the benchmarks: one table of values and targets, build/bench.json (BENCH_QUICK=1: only that they run)
	@test -d $(PEERS) || { $(RUN)/python -m venv $(PEERS) && $(PEERS)/bin/pip install --quiet --requirement tests/bench/peers.txt; } \
		|| { echo "the peers cannot be installed: they are not measured"; rm -rf $(PEERS); }
	@PEERS=$(PEERS) $(RUN)/python tests/bench/run.py

faults: $(READY)  ## the long fault run, on each broker there is: 200 kills, 1,000,000 records (build/faults.json); and long properties
	FAULTS_LONG=1 LANDING_EXAMPLES=$${LANDING_EXAMPLES:-400} FUZZ_PAYLOADS=$${FUZZ_PAYLOADS:-1000000} $(RUN)/python -m pytest \
		tests/property/test_landing_protocol.py tests/property/test_walker_fuzz.py \
		tests/integration/bad_input/test_records.py
	FAULTS_LONG=1 FAULTS_KILLS=$${FAULTS_KILLS:-200} FAULTS_ITEMS=$${FAULTS_ITEMS:-1000000} $(RUN)/python -m pytest tests/faults $(ARGS)

clean:  ## remove caches and the data folder of the embedded stack
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .incidentscope
	find . \( -path ./$(VENV) -o -path ./$(PEERS) \) -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

distclean: clean  ## clean, and remove .venv and what bench is compared with
	rm -rf $(VENV) $(PEERS)
