# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# Test files side by side, a worker a core; many tests start a federation of processes themselves.
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile

.PHONY: help setup demo test test-all fuzz lint format docs proto base-model clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

setup: $(READY)  ## create .venv and install everything (once)

$(READY): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(READY)  ## train a report generator at four sites, encrypted, and write the report
	$(BIN)/fedmrg run configs/quickstart.yaml

test: $(READY) lint  ## lint and the fast tests
	$(BIN)/python -m pytest -m 'not slow' $(SIDE_BY_SIDE)

test-all: $(READY) lint  ## every test, the slow ones too
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

fuzz: $(READY)  ## every parser of a peer's bytes, ten CPU-minutes each
	$(BIN)/python -m tests.fuzz

lint: $(READY)  ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)  ## format the code and mend what ruff can mend
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

docs: $(READY)  ## write the generated pages of docs/ and the known answers of protocols/vectors
	$(BIN)/python tools/error_table.py
	$(BIN)/python tools/config_reference.py
	$(BIN)/python tools/make_vectors.py

base-model: $(READY)  ## remake the shipped decoder base and encoder from public phantoms (minutes)
	$(BIN)/python -m fedmrg_secure.training.pretrain_base
	$(BIN)/python -m fedmrg_secure.training.pretrain_encoder

# grpcio-tools 1.81.1 emits code that protobuf 6 and 7 both accept; it lives in its own environment.
PROTO_VENV := build/proto-venv
PROTO_OUT  := build/proto

proto:  ## generate fedmrg_secure/protocol/v1 from protocols/
	test -x $(PROTO_VENV)/bin/python || $(PYTHON) -m venv $(PROTO_VENV)
	$(PROTO_VENV)/bin/python -m pip install --quiet --disable-pip-version-check grpcio-tools==1.81.1
	mkdir -p $(PROTO_OUT)
	$(PROTO_VENV)/bin/python -m grpc_tools.protoc -Iprotocols \
	  --python_out=$(PROTO_OUT) --pyi_out=$(PROTO_OUT) protocols/fedmrg/v1/*.proto
	cp $(PROTO_OUT)/fedmrg/v1/*_pb2.py $(PROTO_OUT)/fedmrg/v1/*_pb2.pyi fedmrg_secure/protocol/v1/

clean:  ## remove the environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
