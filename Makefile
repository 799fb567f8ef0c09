# Everything a fresh machine needs is done by the first word you type.
#   make demo    install, then learn ten generated products on Ray and report      make check   lint, types, layers
#   make test    install, then all tests                                            make bench   stage by stage timings
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: install demo test test-unit test-cluster check format bench

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[cpu,dev]'
	touch $@

demo: install
	$(BIN)/python jobs/mecad_stream.py --out runs/demo --resume

test: test-unit test-cluster

test-unit: install
	$(BIN)/python -m pytest tests/unit

test-cluster: install
	$(BIN)/python -m pytest tests/cluster

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --quiet tests/unit/test_layout.py

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install
	$(BIN)/python benchmarks/class_cost.py
