# One command each, the same on a desk and in CI. `make` alone lists them.

PYTHON  ?= python3
VENV    ?= .venv
BIN     := $(VENV)/bin
WORKERS ?= 2
OUT     ?= .

.DEFAULT_GOAL := help
.PHONY: help venv demo test all bench soak lint fmt protos generated golden sdk lock clean
MAKEFLAGS += --no-print-directory
# The tests start many processes; without bytecode on disk each compiles all our modules anew.
unexport PYTHONDONTWRITEBYTECODE

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(VENV)/.stamp ## make .venv with everything locked in requirements/dev.lock

# Redone only when the lock or the project file changes.
$(VENV)/.stamp: requirements/dev.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is $$($(PYTHON) --version), but 3.11 or newer is needed; name another: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv module; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: venv ## run a hub and its agencies here, send a document, check its receipt
	@$(BIN)/lienthong demo

test: venv ## style, types, and every test but the long ones
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m "not long"

all: test ## the same, then the long ones
	@$(BIN)/python -m pytest -q -m long || test $$? -eq 5  # 5: there is none yet

bench: venv ## measure what this machine reaches; some minutes. ONLY=read,… for some parts
	@$(BIN)/python -m tests.bench $(if $(ONLY),--only $(ONLY)) $(BENCH)

soak: venv ## an hour at half of what it can do; SECONDS=300 for less, SOAK="--rate 50" for more
	@$(BIN)/python -m tests.bench.soak $(if $(SECONDS),--seconds $(SECONDS)) $(SOAK)

lint: venv ## style, format, types, import contracts, protos
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code protos

fmt: venv ## put Python and protos in shape
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .
	@$(BIN)/buf format --write protos

protos: venv ## write hub/v1 anew from protos/
	@find hub/v1 -name '*_pb2*' -delete
	@$(MAKE) generated
	@echo "hub/v1 is fresh; look at the difference before you commit it"

# The one place that says how hub/v1 is made; the architecture tests run it with another OUT.
generated:
	@$(BIN)/python -m grpc_tools.protoc --proto_path=protos \
	  --python_out=$(OUT) --grpc_python_out=$(OUT) \
	  --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy --mypy_out=quiet:$(OUT) \
	  --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc --mypy_grpc_out=quiet:$(OUT) \
	  $(sort $(wildcard protos/hub/v1/*.proto))

golden: venv ## rewrite tests/golden from today's code; review the difference
	LIENTHONG_REWRITE_GOLDEN=1 $(BIN)/python -m pytest -q tests/golden
	@git --no-pager diff --stat -- tests/golden

sdk: venv ## build the vendors' wheel into dist/
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist hub/client

UV_COMPILE = UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --upgrade --universal \
  --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links

lock: venv ## choose versions anew: requirements/*.lock
	$(UV_COMPILE) pyproject.toml --all-extras -o requirements/runtime.lock
	$(UV_COMPILE) pyproject.toml --all-extras -c requirements/runtime.lock -o requirements/dev.lock \
	  --group gen --group test --group lint --group build --group lock
	$(UV_COMPILE) --group build -c requirements/dev.lock -o requirements/build.lock

clean: ## remove everything made here, the venv included
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find hub adapters keys tests -name __pycache__ -type d -prune -exec rm -rf {} +
