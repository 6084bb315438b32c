# make demo   sets up all that labctl needs on this machine, and runs the quickstart campaign
# make monitor  the same under the eyes of a Prometheus, which it installs; prints the address of a page; Ctrl-C ends it
# make test   sets up all that the tests need, and runs every test
# make check  the quick loop: lint, format, types, unit tests; no root
# make docs   builds the site in build/site
# make bench  measures how true the figures are, writes docs/benchmarks.md; some of it: make bench ONLY=blackout,wire
# make acceptance  makes virtual labs with RDMA from nothing, runs campaigns/transports.yaml in them, writes docs/transports.md
# make box    makes a box for `vagrant up` of Debian's packages, where none can be downloaded (libvirt)
# make setup  the common first part;  make lock, make clean
#
# A step that is done leaves a stamp in .venv/.stamps and is not done again until what it depends on changes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DONE := $(VENV)/.stamps
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --no-input install --no-compile --progress-bar off
LOCK := $(BIN)/uv --quiet pip compile pyproject.toml --group build --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-emit-find-links --annotation-style line \
  --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)
GUEST := $(wildcard labctl/guest/*.py labctl/guest/*.c labctl/guest/*.h labctl/guest/*.S labctl/guest/*.ld labctl/guest/src/*)
LAB := $(shell find playbooks inventory/local -type f)
# A playbook on this machine: silent, unless it fails.
PLAY = home=$$(mktemp -d) && trap 'rm -rf "$$home"' EXIT && ANSIBLE_HOME="$$home" ANSIBLE_LOCALHOST_WARNING=0 \
  ANSIBLE_DISPLAY_OK_HOSTS=0 ANSIBLE_DISPLAY_SKIPPED_HOSTS=0 ANSIBLE_NOCOLOR=1 \
  ansible-playbook -i inventory/local $(1) >"$$home/log" || { cat "$$home/log" >&2; exit 1; }
export PATH := $(abspath $(BIN)):$(PATH):/usr/sbin:/sbin
# Packages are compiled when they are first imported; where that may not be kept, each start of labctl takes seconds.
unexport PYTHONDONTWRITEBYTECODE

COMMA := ,
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:
.PHONY: help demo monitor setup test bench check docs lint lock clean box acceptance
.SECONDARY:

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed -n 1,9p

demo: setup
	@labctl run campaigns/quickstart.yaml

monitor: setup $(DONE)/prometheus
	@labctl monitor campaigns/quickstart.yaml

setup: $(DONE)/lab

# On all cores; then what needs the machine to itself, one at a time (tests/conftest.py).
test: $(DONE)/lab $(DONE)/dev $(DONE)/browser
	@pytest -n auto --dist loadscope --no-loadscope-reorder --durations 60

bench: $(DONE)/lab $(DONE)/browser
	@python -m benchmarks $(subst $(COMMA), ,$(ONLY))

check: lint $(DONE)/labctl
	@pytest -q -n auto --dist worksteal -m "not root and not qemu and not slow"

docs: $(DONE)/labctl $(DONE)/dev
	@mkdocs build --strict --quiet
	@echo "build/site/index.html"

# From nothing, also where an image is cached; needs root or sudo, an hour without KVM.
acceptance: $(DONE)/labctl
	@python -m scripts.acceptance $(SUITES)

box: $(DONE)/labctl
	@$(call PLAY,playbooks/box.yml)

lint: $(DONE)/dev
	@ruff check .
	@ruff format --check --quiet .
	@mypy
	@yamllint --strict .
	@ansible-lint -q playbooks inventory

lock: $(DONE)/dev
	@$(LOCK) --output-file requirements.txt
	@$(LOCK) --extra grafana --group dev --group docs --constraints requirements.txt --output-file requirements-dev.txt

clean:
	rm -rf $(VENV) build dist labctl/guest/build .mypy_cache .pytest_cache .ruff_cache .hypothesis .ansible
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment, a compiler for the guest.
$(DONE)/venv: scripts/bootstrap.sh
	@scripts/bootstrap.sh $(VENV) $(PYTHON)
	@mkdir -p $(DONE) && touch $@

# What labctl stands on, as locked.
$(DONE)/runtime: requirements.txt $(DONE)/venv
	@echo "==> installing what labctl stands on"
	@$(PIP) --require-hashes --only-binary :all: -r requirements.txt
	@touch $@

# labctl itself, in place; its build compiles the guest.
$(DONE)/labctl: pyproject.toml hatch_build.py $(GUEST) $(DONE)/runtime
	@echo "==> installing labctl, compiling its guest"
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

# QEMU and what else the embedded lab needs; again if somebody removed it since.
$(DONE)/lab: $(LAB) $(DONE)/labctl $(if $(shell PATH="$(PATH)" command -v qemu-system-x86_64),,always)
	@echo "==> provisioning the lab on this machine"
	@labctl lab provision local --yes
	@touch $@

# What the tests and checks need besides.
$(DONE)/dev: requirements-dev.txt $(DONE)/runtime
	@echo "==> installing what the tests need"
	@URLLIB3_NO_OVERRIDE=true $(PIP) --require-hashes --only-binary :all: --no-binary urllib3-future --no-build-isolation \
	  -r requirements-dev.txt
	@touch $@

# A browser, for the tests that open the report in one; QEMU of other versions, for those of the rules; containers.
$(DONE)/browser: playbooks/tests.yml $(DONE)/lab
	@echo "==> installing a browser, QEMU of other versions and what test hosts are made with"
	@$(call PLAY,playbooks/tests.yml)
	@touch $@

# Prometheus, not started: `labctl monitor` starts one of its own; again if somebody removed it since.
$(DONE)/prometheus: $(LAB) $(DONE)/lab $(if $(shell PATH="$(PATH)" command -v prometheus),,always)
	@echo "==> installing Prometheus"
	@$(call PLAY,playbooks/monitoring.yml -e monitoring_start=false)
	@touch $@

always:
.PHONY: always
