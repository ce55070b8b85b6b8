# Everything that a person or a CI job runs. It needs python3, pip and make; the rest goes into
# virtual environments in this folder. `make help` lists the targets.

# For the command line: make demo PORT=8001, make test PYTHON=/path/to/python3.12
PYTHON = python3
PORT = 8000
FORM = port
TENSORBOARD_PORT = 16006

VENV = .venv
VENV_PYTHON = $(VENV)/bin/python
SERVICES_VENV = .venv-services
SERVICES = tests/browser/services/requirements.txt
SERVICES_OF_NPM = tests/browser/services/requirements-npm.txt
FUZZ_VENV = .venv-fuzz
# For the command line: make fuzz FUZZ_SECONDS=600 FUZZ_TARGETS="head chunks"
export FUZZ_SECONDS = 60
FUZZ_TARGETS =
SOAK_SECONDS = 1800
# For the command line: make mutants MUTANTS_FLAGS="--modules rewrite/cookies --sample 50 --seed 7"
MUTANTS_FLAGS =
PEERS_VENV = .venv-peers
PEERS = benchmarks/peers/requirements.txt
# For the command line: make bench-peers PEERS_FLAGS=--quick
PEERS_FLAGS =

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/demo-installed ## A multi-user Django app with TensorBoard behind it, to try in a browser
	@$(VENV_PYTHON) examples/demo.py --port $(PORT) --tensorboard-port $(TENSORBOARD_PORT) --form $(FORM)

# Side by side, the long ones first. Most of them wait as often as they work.
CHECKS = servers leaving test-browser-quick tables unit wheel-test types audit lint
CHECKS_AT_A_TIME = 4
# Workers of one run of pytest, for tests that start servers and wait for them.
WORKERS = 4
BROWSERS = 2
SPREAD = -n $(WORKERS) --no-loadscope-reorder
# The slow ones first.
OVER_SOCKETS = tests/tunnels tests/examples tests/faults tests/hostile tests/http tests/fronts tests/clients tests/contrib tests/test_*.py
OF_HTTP = tests/faults tests/hostile tests/http
# How the tests are run: `test` and `coverage` have it measured which lines and branches they reach.
MEASURED =
PYTEST = $(VENV_PYTHON) $(MEASURED) -m pytest
MEASURE = MEASURED="-m coverage run"

.PHONY: test
test: $(VENV)/test-installed chromium nginx ## Every check before a commit, side by side: all below but test-browser
	@echo "Running side by side: $(CHECKS). Each is shown when it has ended."
	@rm -rf .coverage
	@$(MAKE) --no-print-directory --jobs=$(CHECKS_AT_A_TIME) --keep-going --output-sync=target $(CHECKS) $(MEASURE)
	@$(MAKE) --no-print-directory reached
	@echo
	@echo "All checks passed."

.PHONY: lint
lint: $(VENV)/test-installed ## Style and formatting (ruff)
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .

.PHONY: types
types: $(VENV)/test-installed ## Types (mypy --strict)
	$(VENV_PYTHON) -m mypy --strict wsgi_portproxy examples tests scripts benchmarks fuzz

.PHONY: audit
audit: $(VENV)/test-installed ## Known vulnerabilities (pip-audit), risky code (bandit)
	$(VENV_PYTHON) scripts/audit.py

.PHONY: suite
suite: tables servers ## The tests, without those in a browser

.PHONY: tables
tables: $(VENV)/test-installed ## The tests without sockets: rules as tables, properties
	$(PYTEST) tests/unit tests/property

.PHONY: servers
servers: $(VENV)/test-installed ## The tests over sockets, on real servers, WORKERS=4 at a time
	$(PYTEST) $(OVER_SOCKETS) $(SPREAD)

.PHONY: leaving
leaving: $(VENV)/test-installed ## The tests of HTTP once more: all requests leave their thread at once, then none
	LEAVING=all $(PYTEST) $(OF_HTTP) $(SPREAD)
	LEAVING=none $(PYTEST) $(OF_HTTP) $(SPREAD)

.PHONY: coverage
coverage: $(VENV)/test-installed ## Lines and branches that the tests run, in servers too; fails for fewer than before
	@rm -rf .coverage
	@$(MAKE) --no-print-directory tables servers $(MEASURE)
	@$(MAKE) --no-print-directory reached

.PHONY: reached
reached:
	$(VENV_PYTHON) -m coverage combine --quiet
	$(VENV_PYTHON) -m coverage report

.PHONY: mutants
mutants: $(VENV)/test-installed ## Break the package in 200 places, and count what the tests notice
	$(VENV_PYTHON) scripts/mutants.py $(MUTANTS_FLAGS)

.PHONY: claims
claims: $(VENV)/test-installed ## Write docs/claims.md anew: which tests hold what is promised
	$(VENV_PYTHON) -m tests.support.claims

.PHONY: unit
unit: $(VENV)/test-installed ## The unit tables on every other CPython >= 3.10 of this machine
	$(VENV_PYTHON) scripts/unit_elsewhere.py

.PHONY: wheel-test
wheel-test: $(VENV)/test-installed ## Build the wheel and install it into an empty environment
	$(VENV_PYTHON) scripts/check_wheel.py

.PHONY: test-browser-quick
test-browser-quick: $(VENV)/test-installed chromium ## The demo and light services in headless Chromium
	CHROMIUM="$$(scripts/chromium.sh)" $(VENV_PYTHON) -m pytest tests/browser -m "not services and not npm and not found" -n $(BROWSERS) --no-loadscope-reorder

.PHONY: test-browser
test-browser: $(VENV)/test-installed $(SERVICES_VENV)/installed chromium ## The other services in headless Chromium, JupyterLab and MLflow too
	CHROMIUM="$$(scripts/chromium.sh)" $(VENV_PYTHON) -m pytest tests/browser -m services -n $(BROWSERS) --no-loadscope-reorder
	@echo
	@echo "All browser tests passed."

# Not part of .ci/run, whose machine may reach Python's packages only.
.PHONY: test-browser-npm
test-browser-npm: $(VENV)/test-installed $(SERVICES_VENV)/npm-installed chromium ## What comes from npm in headless Chromium: Vite, Socket.IO's own client
	CHROMIUM="$$(scripts/chromium.sh)" $(VENV_PYTHON) -m pytest tests/browser -m npm -n $(BROWSERS) --no-loadscope-reorder

# Not part of .ci/run: some take from npm and Debian what they need, and all of it takes hours.
FOUND_RESULTS = .bench/services.xml
# For the command line: make test-services SERVICES_FLAGS="-k dagster"
SERVICES_FLAGS =

.PHONY: test-services
test-services: $(VENV)/test-installed chromium ## Some seventy services in headless Chromium, each from an environment of its own; every night
	@mkdir -p $(dir $(FOUND_RESULTS))
	CHROMIUM="$$(scripts/chromium.sh)" $(VENV_PYTHON) -m pytest tests/browser -m found --junitxml=$(FOUND_RESULTS) $(SERVICES_FLAGS)

.PHONY: services-table
services-table: $(VENV)/test-installed ## Write docs/services-table.md anew, from the last run of test-services
	$(VENV_PYTHON) -m tests.browser.services.found.table $(FOUND_RESULTS)

# First of the checks, so that a missing browser is said before ten minutes of tests.
.PHONY: chromium
chromium:
	@scripts/chromium.sh >/dev/null

# First, so that a missing nginx is said before anything is tested or measured.
.PHONY: nginx
nginx:
	@scripts/nginx.sh >/dev/null

.PHONY: bench
bench: bench-peers bench-tunnels bench-streams bench-shared bench-waiting ## Measure: what follows, as ratios in one run each

.PHONY: bench-peers
bench-peers: nginx $(PEERS_VENV)/installed ## Measure requests and large bodies, side by side with like proxies
	NGINX="$$(scripts/nginx.sh)" $(PEERS_VENV)/bin/python -m benchmarks.peers $(PEERS_FLAGS)

.PHONY: bench-compare
bench-compare: $(VENV)/test-installed ## Measure what this checkout adds to a request, beside BEFORE=/another/checkout
	$(VENV_PYTHON) -m benchmarks.compare "$(BEFORE)"

.PHONY: bench-tunnels
bench-tunnels: $(VENV)/test-installed ## Measure WebSockets: 9,000 idle ones, echoes, large messages
	$(VENV_PYTHON) benchmarks/tunnels.py

.PHONY: bench-shared
bench-shared: $(VENV)/test-installed ## Measure what visitors share: hostile streams, connections, POSTs
	$(VENV_PYTHON) benchmarks/shared.py

.PHONY: bench-streams
bench-streams: $(VENV)/test-installed ## Measure event streams and downloads that leave their thread
	$(VENV_PYTHON) benchmarks/streams.py

.PHONY: bench-waiting
bench-waiting: $(VENV)/test-installed ## Measure requests that wait for slow services, and leave their thread
	$(VENV_PYTHON) benchmarks/waiting.py

.PHONY: soak
soak: $(VENV)/test-installed ## Load that ends in every bad way, SOAK_SECONDS=1800 of it; nothing may leak
	$(VENV_PYTHON) benchmarks/soak.py --mixed $(SOAK_SECONDS)

.PHONY: fuzz
fuzz: $(FUZZ_VENV)/installed $(VENV)/test-installed ## Fuzz the readers of hostile input, FUZZ_SECONDS=60 for each; every night
	HYPOTHESIS_PROFILE=nightly $(VENV_PYTHON) -m pytest tests/property
	$(FUZZ_VENV)/bin/python fuzz/run.py $(FUZZ_TARGETS)

.PHONY: screenshot
screenshot: $(VENV)/test-installed chromium ## Make the pictures of the README anew
	CHROMIUM="$$(scripts/chromium.sh)" $(VENV_PYTHON) -m scripts.screenshot

.PHONY: clean
clean: ## Remove the environments, caches, builds and the demo's data
	rm -rf $(VENV) $(SERVICES_VENV) .venv-found $(FUZZ_VENV) $(PEERS_VENV) .fuzz .venv-3.* build dist
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .bench
	rm -rf examples/django_project/data
	find wsgi_portproxy tests examples scripts benchmarks fuzz -name __pycache__ -prune -exec rm -rf {} +

# The environment is made anew when pyproject.toml changes, so that it never holds a package that
# is no longer asked for. Each set of packages has its own stamp: the demo needs no test tools.
$(VENV)/made: pyproject.toml scripts/venv.sh
	@scripts/venv.sh $(PYTHON) $(VENV)
	@touch $@

$(VENV)/demo-installed: $(VENV)/made
	@echo "Installing what the demo needs (a minute or two, the first time only)"
	@$(VENV_PYTHON) -m pip install --editable '.[demo]'
	@touch $@

$(VENV)/test-installed: $(VENV)/made
	@echo "Installing what the tests need (a few minutes, the first time only)"
	@$(VENV_PYTHON) -m pip install --editable '.[test]'
	@touch $@

# JupyterLab, MLflow and the like, some hundred packages; none of them is needed for anything else.
$(SERVICES_VENV)/installed: $(SERVICES) scripts/venv.sh
	@scripts/venv.sh $(PYTHON) $(SERVICES_VENV)
	@echo "Installing the services to try (some minutes, the first time only)"
	@$(SERVICES_VENV)/bin/python -m pip install --requirement $(SERVICES)
	@touch $@

$(SERVICES_VENV)/npm-installed: $(SERVICES_VENV)/installed $(SERVICES_OF_NPM)
	@$(SERVICES_VENV)/bin/npm install --global --prefix $(SERVICES_VENV) --no-audit --no-fund $$(cat $(SERVICES_OF_NPM))
	@touch $@

# The proxies to compare with, and this one, for the same Python and the same libraries.
$(PEERS_VENV)/installed: $(PEERS) pyproject.toml scripts/venv.sh
	@scripts/venv.sh $(PYTHON) $(PEERS_VENV)
	@echo "Installing what to compare with (a minute or two, the first time only)"
	@$(PEERS_VENV)/bin/python -m pip install --requirement $(PEERS) --editable .
	@touch $@

# atheris is built for a few Pythons only: make fuzz PYTHON=/path/to/python3.12
$(FUZZ_VENV)/installed: pyproject.toml scripts/venv.sh
	@scripts/venv.sh $(PYTHON) $(FUZZ_VENV)
	@echo "Installing what fuzzing needs"
	@$(FUZZ_VENV)/bin/python -m pip install --editable '.[fuzz]'
	@touch $@
