# One command per habit; `make` alone lists them. Needs make and Python 3.10-3.13, nothing else.
.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9

# The first Python of a version that Beam runs on; or say which: make PYTHON=/path/to/python3.12
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10; do \
	"$$p" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& command -v "$$p" && break; done)

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/.installed ## virtual environment, pinned requirements, embedded Kafka and emulator
	@$(BIN)/python -m pipelines.local fetch

.PHONY: run
run: setup ## the demo: 1,000 sample alerts to Kafka and back, every byte compared
	@$(BIN)/python -m pipelines.demo

.PHONY: test
test: setup $(VENV)/.installed-dev ## all tests, the fast ones first
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --junit-xml=build/tests.xml \
		tests/unit tests/contract tests/conformance tests/integration tests/faults $(PYTEST_ARGS)
	@$(if $(PYTEST_ARGS),,$(BIN)/python tests/helpers/matrix.py build/tests.xml --check)

.PHONY: conformance
conformance: setup $(VENV)/.installed-dev ## what holds on which runner, and the matrix in docs/runners.md
	@$(BIN)/python -m pytest tests/conformance tests/unit/test_dataflow_graph.py \
		--junit-xml=build/conformance.xml $(PYTEST_ARGS)
	@$(BIN)/python tests/helpers/matrix.py build/conformance.xml

.PHONY: kerberos
kerberos: $(BIN)/pip ## system packages and gssapi for the Kerberos tests
	@sh tests/install_kerberos.sh $(BIN)/python
	@echo "kerberos: installing gssapi into $(VENV), a minute the first time"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-kerberos.txt

.PHONY: systemd
systemd: ## systemd-analyze for the tests of deploy/
	@command -v systemd-analyze >/dev/null || sh tests/apt_install.sh systemd systemd

GO := $(or $(shell command -v go),$(wildcard /usr/local/go/bin/go))

.PHONY: prism
prism: $(VENV)/.installed ## Beam's runner for one machine, in build/bin; needs Go
	@test -n "$(GO)" || { echo "prism: no go on the PATH or in /usr/local/go/bin; install Go" \
		"(https://go.dev/dl), or give --prism_location=FILE" >&2; exit 2; }
	@version=$$($(BIN)/python -c 'from importlib.metadata import version as v; print(v("apache-beam"))') \
		&& echo "prism: building v$$version into build/bin, a minute the first time" \
		&& GOBIN="$(CURDIR)/build/bin" "$(GO)" install \
			"github.com/apache/beam/sdks/v2/go/cmd/prism@v$$version"

.PHONY: faults
faults: setup $(VENV)/.installed-dev ## kills, pauses and cuts off both ends, 20 rounds each way: a table
	@$(BIN)/python -m pytest tests/faults --faults=full $(PYTEST_ARGS)

.PHONY: check
check: $(VENV)/.installed-dev ## format, lint, types, the image's files, and that the documentation is in step
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pipelines.docs --check
	$(BIN)/python -m benchmarks.show --check
	$(BIN)/hadolint templates/Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yaml

.PHONY: bench
bench: setup $(VENV)/.installed-dev ## throughput, CPU, latency, start, growth, beside a bare loop and peers; an hour: BENCH_ARGS
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

.PHONY: bench-check
bench-check: setup $(VENV)/.installed-dev ## measures what the targets need, and compares
	@$(BIN)/python -m benchmarks --check $(BENCH_ARGS)

.PHONY: flame
flame: setup $(VENV)/.installed-dev ## flame graphs of the bridge at full speed, benchmarks/results/flame_*.svg
	@$(BIN)/python -m benchmarks.flame $(FLAME_ARGS)

.PHONY: bench-parts
bench-parts: setup ## what the mapping costs, in microseconds a message, and how fast an archive is written
	@$(BIN)/python -m benchmarks.mapping
	@$(BIN)/python -m benchmarks.archive

.PHONY: peers
peers: setup $(VENV)/.installed-dev ## that the peers of the benchmark can be had and do their work; needs Go
	@$(BIN)/python -m pytest tests/peers $(PYTEST_ARGS)

.PHONY: soak
soak: setup ## half an hour at 1,000 msg/s both ways: memory, files, threads, commit lag
	@$(BIN)/python -m benchmarks.soak $(SOAK_ARGS)

.PHONY: docs
docs: $(VENV)/.installed ## writes the flag tables of README.md and docs/, and templates/*.json
	@$(BIN)/python -m pipelines.docs

.PHONY: graphs
graphs: $(VENV)/.installed-dev ## writes the jobs' graphs that tests compare with, tests/data/graphs/
	@PYTHONPATH=. $(BIN)/python tests/helpers/dataflow_jobs.py

TEMPLATES := ps_to_kafka kafka_to_ps archive backfill
DOCKER ?= docker
GCLOUD ?= gcloud

.PHONY: template
template: template-arguments $(VENV)/.installed ## the images of the flex templates, pushed; and staged: IMAGE=...:TAG BUCKET=...
	@mkdir -p build/templates
	@set -e; for name in $(TEMPLATES); do \
		$(BIN)/python -m pipelines.flex_templates spec $$name --image='$(IMAGE)'-$$name \
			> build/templates/$$name.json; \
		$(DOCKER) build --platform linux/amd64 --target $$name --tag $(IMAGE)-$$name --file templates/Dockerfile .; \
		$(DOCKER) push $(IMAGE)-$$name; \
		$(GCLOUD) storage cp build/templates/$$name.json \
			gs://$(patsubst %/,%,$(patsubst gs://%,%,$(BUCKET)))/templates/$$name.json; \
	done

.PHONY: template-arguments
template-arguments:
	@test -n "$(IMAGE)" && test -n "$(BUCKET)" || { echo "template: IMAGE or BUCKET: missing; for" \
		"example IMAGE=us-central1-docker.pkg.dev/my-project/bridge/bridge:1.0 BUCKET=my-bucket" >&2; exit 2; }

# Through the environment, and unread by make and shell: values have $, ;, | and quotes in them.
unexport PARAMETERS
launch-example: export LAUNCH_PARAMETERS := $(value PARAMETERS)
given = $(if $($(2)),--$(1)='$($(2))')

.PHONY: launch-example
launch-example: $(VENV)/.installed ## how one is launched: IMAGE, BUCKET, PROJECT, TEMPLATE, PARAMETERS='NAME=VALUE ...' (docs/dataflow.md)
	@$(BIN)/python -m pipelines.flex_templates launch $(or $(TEMPLATE),ps_to_kafka) "$$LAUNCH_PARAMETERS" \
		$(call given,project,PROJECT) $(call given,region,REGION) $(call given,bucket,BUCKET) \
		$(if $(IMAGE),--image='$(IMAGE)-$(or $(TEMPLATE),ps_to_kafka)') \
		$(call given,service_account,SERVICE_ACCOUNT) $(call given,job_name,JOB_NAME) \
		$(call given,network,NETWORK) $(call given,subnetwork,SUBNETWORK) \
		$(call given,max_workers,MAX_WORKERS) $(call given,update,UPDATE)

.PHONY: format
format: $(VENV)/.installed-dev ## formats the code, and repairs what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: requirements
requirements: build/uv/bin/uv ## pins the dependencies of setup.py anew
	@for extra in '' dev kerberos; do \
		out=requirements$${extra:+-$$extra}.txt; \
		build/uv/bin/uv pip compile --quiet --universal --python-version 3.10 --upgrade \
			--no-header --no-annotate --no-emit-index-url --extra local \
			$${extra:+--extra $$extra --constraint requirements.txt} --output-file build/$$out setup.py; \
		{ echo "# Made from setup.py by \`make requirements\`; for Python 3.10-3.13, Linux and macOS."; \
			grep -v "sys_platform == 'win32'" build/$$out | \
			if [ "$$extra" = kerberos ]; then grep -vxFf requirements.txt; else cat; fi; } > $$out; \
	done

.PHONY: clean
clean: ## removes the virtual environment and whatever was built here
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find pipelines transforms tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/pip:
	@test -n "$(PYTHON)" || { echo "setup: no Python 3.10-3.13 on the PATH;" \
		"install one, or name it: make PYTHON=/path/to/python3" >&2; exit 2; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "setup: $(PYTHON) cannot make" \
		"virtual environments; install its venv package (Debian, Ubuntu: apt install python3-venv)" \
		>&2; exit 2; }
	@"$(PYTHON)" -m venv $(VENV)

$(VENV)/.installed: requirements.txt | $(BIN)/pip
	@echo "setup: installing requirements.txt into $(VENV), a few minutes the first time"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "setup: installing requirements-dev.txt into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

build/uv/bin/uv: | $(BIN)/pip
	@$(BIN)/python -m venv build/uv
	@build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
