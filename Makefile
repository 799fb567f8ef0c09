# Everything a fresh machine needs is done by the first word you type.
#   make demo    install, then learn ten generated products on Ray and report      make check   lint, types, layers
#   make test    install, then the tests
#   make test-chaos TIMES=10    those in which one of three nodes dies, ten times in a row; not in make test
#   make bench DATA=DIR         beside other libraries, which get an environment of their own (7 GB); an hour
#   make bench-quick DATA=DIR   the same in small: shows that it works, no figures to quote
#   make bench-class-cost       what learning one more class costs, stage by stage
#   make bench-shift DATA=DIR   products under tints and exposures that were never learned
#   make serve   answer over HTTP with the model that make demo learned             make bench-serve   what serving costs
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PEERS := .venv-peers
PEERS_INSTALLED := $(PEERS)/.installed
MODEL ?= runs/demo/model
TIMES ?= 10

.PHONY: install demo serve test test-unit test-cluster test-serving test-chaos check format bench bench-quick \
	bench-class-cost bench-serve bench-shift

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[cpu,dev]'
	touch $@

demo: install
	$(BIN)/python jobs/mecad_stream.py --out runs/demo --resume

serve: install
	$(BIN)/serve run serve.app:build model=$(MODEL)

test: test-unit test-cluster test-serving

test-unit: install
	$(BIN)/python -m pytest tests/unit --numprocesses auto --dist loadfile

test-cluster: install
	$(BIN)/python -m pytest tests/cluster -m "not chaos"

test-chaos: install
	for round in $$(seq $(TIMES)); do $(BIN)/python -m pytest tests/cluster -m chaos || exit 1; done

test-serving: install
	$(BIN)/python -m pytest tests/serving

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --quiet tests/unit/test_layout.py

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(PEERS_INSTALLED): benchmarks/peers/requirements.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --requirement benchmarks/peers/requirements.txt
	touch $@

bench: install $(PEERS_INSTALLED)
	$(BIN)/python -m benchmarks.peers.bench $(if $(DATA),--data $(DATA))

bench-quick: install $(PEERS_INSTALLED)
	$(BIN)/python -m benchmarks.peers.bench --preset quick $(if $(DATA),--data $(DATA))

bench-class-cost: install
	$(BIN)/python benchmarks/class_cost.py

bench-serve: install
	$(BIN)/python -m benchmarks.serving

bench-shift: install
	$(BIN)/python -m benchmarks.shift --data $(DATA)
