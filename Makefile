# make demo      sets up on first use, then runs the main job on a captured host that ships here
# make test      sets up on first use, then runs the tests
# make libvirt   compiles libvirt-python into .venv; "make test" tries that once by itself, and goes on where it fails
# make lab       boots NUMA hosts with SR-IOV under QEMU and compares plans with their kernels; needs root, apt, mmdebstrap
# But for the last they need no root; all need Python 3.11 or newer with venv and pip.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test libvirt lab lock clean

demo: $(VENV)/.run
	@sh examples/demo.sh $(BIN)/numaplan

test: $(VENV)/.dev $(VENV)/.libvirt
	$(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

# uv installs in a fraction of pip's time; where it cannot be had, pip does the same from the same hashes.
$(VENV)/.run: requirements/run.txt pyproject.toml
	@$(PYTHON) requirements/bootstrap.py $(VENV) requirements/run.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	@$(PYTHON) requirements/bootstrap.py $(VENV) requirements/dev.txt
	@touch $@

libvirt: $(VENV)/.run
	@$(PYTHON) requirements/binding.py $(VENV)
	@touch $(VENV)/.libvirt

$(VENV)/.libvirt: requirements/libvirt.txt requirements/libvirt-build.txt | $(VENV)/.dev
	@$(PYTHON) requirements/binding.py $(VENV) --optional
	@touch $@

# What it tries: docs/lab.md. LAB="flat:inventory,guests snc" chooses.
lab: $(VENV)/.dev
	$(BIN)/python -m tests.lab $(LAB)

# Rewrites the hash-locked requirements; needs uv. Neither index nor host is named in them.
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
lock:
	$(LOCK) requirements/build.in -o requirements/build.txt
	$(LOCK) requirements/uv.in -o requirements/uv.txt
	$(LOCK) requirements/libvirt-build.in -o requirements/libvirt-build.txt
	$(LOCK) requirements/libvirt.in -o requirements/libvirt.txt
	$(LOCK) pyproject.toml -o requirements/run.txt
	$(LOCK) pyproject.toml --group dev -o requirements/dev.txt

clean:
	rm -rf $(VENV)
