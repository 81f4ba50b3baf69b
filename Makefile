# Four verbs: setup, check, test, demo. They need Python 3.11-3.13, make and a Python package index.
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup check format test kafka test-kafka e2e demo bench fuzz chaos lock chart vendor clean

help:  ## show the verbs
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

setup: $(STAMP)  ## make the environment in .venv from the lock file

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "Python 3.11, 3.12 or 3.13 is needed, this is %s. Try: make PYTHON=python3.12" % sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

check: setup  ## format, lint, types, import contracts
	$(BIN)/ruff format --check services tests deploy/kafka
	$(BIN)/ruff check services tests deploy/kafka
	$(BIN)/mypy services/easeml deploy/kafka
	$(BIN)/lint-imports

format: setup  ## format and mend what the linter can
	$(BIN)/ruff check --fix services tests deploy/kafka
	$(BIN)/ruff format services tests deploy/kafka

test: setup  ## every test, JOBS files at a time; prints the time of each folder
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

kafka: setup  ## Apache Kafka on this machine, on PORT or a free port, until Ctrl-C (needs Java 17 and Maven)
	$(BIN)/python deploy/kafka/apache_kafka.py --port $(or $(PORT),0)

# Of the contract, what is not in memory.
test-kafka: ON_KAFKA ?= tests/acceptance tests/kafka tests/contract/test_processes.py tests/integration tests/chaos
test-kafka: setup  ## acceptance, access, contract, integration and chaos tests on Apache Kafka (needs Java 17 and Maven)
	$(BIN)/python deploy/kafka/apache_kafka.py --fetch
	EASEML_TEST_BROKER=kafka $(BIN)/python -m pytest $(ON_KAFKA)

e2e: setup  ## every page in a real browser, the demo and the tutorial; screenshots in build/screenshots (needs Chromium)
	$(BIN)/python -m pytest tests/e2e

demo: setup  ## a real data set from upload to the best model, on the embedded broker
	$(BIN)/easeml demo

# All that the bars ask, and the README's table anew: make bench BENCH="--full --keep".
bench: setup  ## one table of how fast and how good all is, beside peers in the same run (half an hour)
	$(BIN)/python tests/benchmarks/table.py $(BENCH)

# A short one: make chaos CHAOS="--quick --embedded --out build".
chaos: setup  ## faults for every service under load, and the ledger of what became of them (2 hours; Java 17, Maven)
	$(BIN)/python tests/chaos/ledger.py $(CHAOS)

# Of one, and less: make fuzz FUZZ="--inputs 1000 ci", make fuzz OF=ports FUZZ="--inputs 1000 labels".
fuzz: OF := services
fuzz: setup  ## 100,000 damaged messages for every service (20 minutes), or OF=ports: requests for every port (an hour)
	$(BIN)/python tests/fuzz/fuzz_$(OF).py $(FUZZ)

lock: COMPILE := uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11
lock:  ## resolve the lock files anew (needs uv): of this environment, of the image, and of what builds the wheel
	$(COMPILE) --all-extras --group dev pyproject.toml -o requirements.lock
	$(COMPILE) -c requirements.lock --extra documents --extra files --extra s3 --extra tracing pyproject.toml -o deploy/image.lock
	$(COMPILE) -c requirements.lock --group build -o deploy/build.lock

chart: CHART := deploy/helm/easeml
chart: MADE := tests/data/chart
chart:  ## write what the Helm chart makes of the values of its tests anew (needs helm)
	for name in default guarded; do \
		helm lint --strict $(CHART) --values $(MADE)/$$name.values.yaml && \
		helm template demo $(CHART) --namespace ml --values $(MADE)/$$name.values.yaml > $(MADE)/$$name.manifests.yaml || exit 1; \
	done
	find $(CHART) $(MADE) -type f ! -name SHA256SUMS | LC_ALL=C sort | xargs sha256sum > $(MADE)/SHA256SUMS

vendor: UPLOT := uplot-1.6.32
vendor: UPLOT_SHA256 := 4b8a8191e425658e3ea8c8c1314b0fc679c861ee3a1af2b20c7b16ba50b5133d
vendor: VENDORED := services/easeml/dashboard/static/vendor
vendor:  ## fetch the dashboard's chart library anew (needs npm)
	@mkdir -p build/vendor
	cd build/vendor && npm pack --silent $(subst uplot-,uplot@,$(UPLOT)) && echo "$(UPLOT_SHA256)  $(UPLOT).tgz" | sha256sum --check
	tar --extract --file build/vendor/$(UPLOT).tgz --directory $(VENDORED) --strip-components 2 \
		package/dist/uPlot.esm.js package/dist/uPlot.min.css
	tar --extract --file build/vendor/$(UPLOT).tgz --directory $(VENDORED) --strip-components 1 package/LICENSE
	mv $(VENDORED)/LICENSE $(VENDORED)/uPlot.LICENSE

clean:  ## remove the environment and everything that runs left behind
	rm -rf $(VENV) .easeml build dist
