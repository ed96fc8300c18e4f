# Everything runs from .venv. `make setup` builds it on an empty machine that has Python >= 3.11 and make.
PYTHON ?= python3
BIN := .venv/bin
IDENTITY := 'import sys; print(sys.version, sys.base_prefix)'

# Python compiles the sources once, not again for each of the hundreds of processes that tests start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test unit chaos mutations soak kafka-versions console-test deploy-test sinks fuzz image bench compile test-compiled lint format docs site site-test release-check codegen requirements clean

setup: .venv/.installed

.venv/.installed: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Sternpost needs Python 3.11 or later; this is %s. Try: make setup PYTHON=python3.12" % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@# Over an environment of another Python, venv would mix the two.
	@$(PYTHON) -m venv $$(test "$$($(PYTHON) -c $(IDENTITY))" = "$$($(BIN)/python -c $(IDENTITY) 2>&1)" || echo --clear) .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m tools.compile
	@touch $@

# Compile again after an edit of a compiled module; until then Python runs the sources.
compile: setup
	$(BIN)/python -m tools.compile

demo: setup
	$(BIN)/sternpost demo

# Tests wait more than they compute: four times as many at a time as there are cores, or twice as many with coverage.
JOBS ?= $(shell echo $$(($(if $(THOROUGH),2,4) * $$(nproc))))

# `make test THOROUGH=1`, as in CI: with more examples of each property, and with coverage and its gate.
test: export COVERAGE_FILE = $(CURDIR)/.coverage
# Brokers that live for seconds: the JVM's second compiler would take more CPU than its code saves.
test: export JAVA_TOOL_OPTIONS = -XX:TieredStopAtLevel=1
test: setup
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(if $(THOROUGH),--hypothesis-profile=thorough --cov --cov-report=term)

# The inner loop of a change: the unit tests, which start no process of ours, with few examples of each property, and
# without the plugins that only others use.
unit: setup
	$(BIN)/python -m pytest tests/unit -q -n $$(nproc) --dist worksteal --hypothesis-profile=quick \
		$(addprefix -p no:,pytest_cov anyio platformdirs)

# Run the tests of the compiled modules against what is compiled.
test-compiled: compile
	PURE_PYTHON=0 $(BIN)/python -m pytest tests/unit/schemas tests/unit/processor

chaos: setup
	$(BIN)/python -m pytest tests/chaos tests/network $(SELECT)

# Run everything for hours under load, bursts, faults and restarts, and draw what it took into build/soak.
HOURS ?= 2
soak: setup .venv/soak/.installed
	$(BIN)/python -m tests.soak --hours $(HOURS); well=$$?; \
	.venv/soak/bin/python -m tests.soak.curves build/soak build/soak/soak.svg && exit $$well

.venv/soak/.installed: requirements/soak.txt | .venv/.installed
	$(BIN)/python -m venv .venv/soak
	.venv/soak/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/soak.txt
	@touch $@

# Break copies of the product on purpose, and see that the judge of the fault tests finds each fault.
mutations: setup
	$(BIN)/python -m tests.mutations

# Run the contract with Kafka on a broker of each version that docs/platforms.md names.
kafka-versions: setup
	$(BIN)/python -m tests.kafka_versions

# Open the console's pages in a browser; installs Chromium on Debian as root.
console-test: setup
	tests/console/install_chromium.sh
	$(BIN)/python -m pytest tests/console -n 2 --dist loadfile

# Check image, chart, Compose file, alerts and dashboards with the tools that read them.
deploy-test: setup .venv/deploy/.installed
	$(BIN)/python -m pytest tests/deploy

.venv/deploy/.installed: requirements/deploy.txt tests/deploy/install_tools.sh | .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/deploy.txt
	PYTHON=$(CURDIR)/$(BIN)/python tests/deploy/install_tools.sh .venv/deploy
	@touch $@

# Read the events with real sinks: Connect, Iceberg, Flink, ClickHouse, databases and Python's libraries.
sinks: setup .venv/sinks/.installed
	$(BIN)/python -m pytest tests/sinks --durations=0

.venv/sinks/.installed: requirements/sinks.txt | .venv/.installed
	$(PYTHON) -m venv --clear .venv/sinks
	.venv/sinks/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/sinks.txt
	@touch $@

# Fuzz what reads bytes from outside, guided by coverage, each target for SECONDS of CPU. Needs CPython 3.11 to 3.13.
SECONDS ?= 60

fuzz: setup .venv/fuzz/.installed
	.venv/fuzz/bin/python -m tests.fuzz --seconds $(SECONDS) $(TARGET)

.venv/fuzz/.installed: requirements/fuzz.txt | .venv/.installed
	$(PYTHON) -m venv --clear .venv/fuzz
	.venv/fuzz/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	@touch $@

# Build the image and its -debug variant, with Docker's buildx or with buildah. EXTRAS="msk tracing" adds these to it.
image:
	deploy/build-image

bench: compile
	$(BIN)/python -m benchmarks

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Regenerate the reference in docs/ (docs/generators), and in deploy/ the values' schema and the dashboards.
docs: setup
	$(BIN)/python docs/generate.py
	$(BIN)/python deploy/generate.py

# Build the documentation site into build/site/html; a warning, a dead link or a dead anchor fails it.
site: setup .venv/site/.installed
	$(BIN)/python docs/generate.py --check
	$(BIN)/python docs/build_site.py

# Look at the built site in Chromium, and run the commands that the pages show.
site-test: setup .venv/site/.installed
	$(BIN)/python -m pytest tests/site

# Do all of a release that needs no upload: wheel, sdist, bill of materials, image, chart and documentation.
release-check: setup .venv/deploy/.installed site
	$(BIN)/python -m tools.release_check
	$(BIN)/python -m pytest tests/deploy/test_image.py tests/deploy/test_chart.py

.venv/site/.installed: requirements/site.txt tests/site/install_tools.sh | .venv/.installed
	$(BIN)/python -m venv .venv/site
	.venv/site/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/site.txt
	tests/site/install_tools.sh .venv/site/bin
	@touch $@

# Regenerate the Avro encoder from the newest schema in schemas/avro/.
codegen: setup
	$(BIN)/python -m tools.codegen

# Resolve the dependencies of pyproject.toml again into the pinned, hashed requirement files.
requirements: setup
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make requirements" pyproject.toml -o requirements/runtime.txt
	$(BIN)/uv pip compile --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make requirements" --extra msk pyproject.toml -c requirements/runtime.txt -o requirements/extra-msk.txt
	$(BIN)/uv pip compile --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make requirements" --extra tracing pyproject.toml -c requirements/runtime.txt -o requirements/extra-tracing.txt
	$(BIN)/uv pip compile --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make requirements" --group build -c requirements/runtime.txt -o requirements/build.txt
	$(BIN)/uv pip compile --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make requirements" --all-extras --group dev pyproject.toml -c requirements/runtime.txt -c requirements/build.txt -o requirements/dev.txt
	$(BIN)/uv pip compile --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make requirements" --group deploy -c requirements/dev.txt -o requirements/deploy.txt
	$(BIN)/uv pip compile --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make requirements" --group site -c requirements/dev.txt -o requirements/site.txt
	$(BIN)/uv pip compile --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make requirements" --group soak -c requirements/dev.txt -o requirements/soak.txt
	$(BIN)/uv pip compile --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make requirements" --group sinks pyproject.toml -o requirements/sinks.txt
	$(BIN)/uv pip compile --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make requirements" --group fuzz pyproject.toml -c requirements/dev.txt -o requirements/fuzz.txt

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage*
