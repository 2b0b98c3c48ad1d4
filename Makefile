# One task runner for people and for CI. Every target sets up what it needs on a bare Debian 12.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
VENV_HUB5 := .venv-hub5
VENV_DEMO := .venv-demo
DEBIAN := tests/cluster/debian.sh
PYTEST := $(VENV)/bin/pytest
LOCK := UV_CUSTOM_COMPILE_COMMAND="make lock" $(VENV)/bin/uv pip compile -q --no-config --universal \
	--python-version 3.11 --generate-hashes --only-binary :all: --no-emit-index-url --no-emit-find-links

.DEFAULT_GOAL := help

help: ## Show the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV_DEMO)/.ready ## Run a hub to try, without root or a cluster (`jhk8s demo`); Ctrl-C stops it
	$(VENV_DEMO)/bin/python -m jhk8s_ext.cli.demo

demo-cluster: $(VENV)/.ready ## The same on a real Kubernetes of this machine, set up first
	$(VENV)/bin/python -m tests.cluster.demo

test: $(VENV)/.ready $(VENV_HUB5)/.ready ## Tests that need no cluster, with JupyterHub 6 and 5.5
	$(DEBIAN) install slapd ldap-utils mariadb-server postgresql docker-registry strace git openssh-client \
		bindfs btrfs-progs
	$(PYTEST) -n 2 -m "not cluster and not browser"
	$(VENV_HUB5)/bin/pytest -n 2 -m "not cluster" tests/hub

lint: $(VENV)/.ready ## Style, types, the rooms' import rules, shell scripts
	$(DEBIAN) install shellcheck
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy --config-file pyproject.toml singleuser-shim/jhk8s_singleuser
	$(VENV)/bin/lint-imports
	git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck

e2e: $(VENV)/.ready ## Tests on a real Kubernetes and in a browser; what they need stays for the next run
	$(VENV)/bin/python tests/cluster/bed.py up
	$(DEBIAN) install chromium openssh-server
	$(VENV)/bin/pip install -q -e '.[browser]'
	$(PYTEST) -n 3 --dist loadfile -m "cluster or browser"

e2e-down: $(VENV)/.ready ## Stop and remove what `make e2e` and `make demo-cluster` brought up
	$(VENV)/bin/python tests/cluster/bed.py down

bench: $(VENV)/.ready ## Our figures beside our peers', in one run
	$(DEBIAN) install slapd ldap-utils docker-registry time
	$(VENV)/bin/python -W ignore -m benchmarks.ldap_logins
	$(VENV)/bin/python -m benchmarks.menu
	$(VENV)/bin/python tests/cluster/bed.py up
	$(VENV)/bin/python -m benchmarks.shim_start
	$(DEBIAN) install mariadb-server postgresql
	$(VENV)/bin/python -m benchmarks.ids
	$(VENV)/bin/python -m benchmarks.time_to_ready

lock: $(VENV)/.ready ## Lock the packages of the hub image and of the test bed anew
	$(VENV)/bin/pip install -q uv
	$(LOCK) pyproject.toml hub-image/requirements.in -o hub-image/requirements.txt
	$(LOCK) tests/cluster/hub-requirements.in -o tests/cluster/hub-requirements.txt

docs: $(VENV)/.ready ## Build the documentation; warnings are errors
	$(VENV)/bin/pip install -q -e '.[docs]'
	$(VENV)/bin/sphinx-build -W --keep-going -b html docs docs/_build/html

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(DEBIAN) install python3-venv
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -q -e '.[test,lint]'
	touch $@

$(VENV_DEMO)/.ready: pyproject.toml
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(DEBIAN) install python3-venv
	$(PYTHON) -m venv $(VENV_DEMO)
	$(VENV_DEMO)/bin/pip install -q -e '.[demo]'
	touch $@

$(VENV_HUB5)/.ready: pyproject.toml $(VENV)/.ready
	$(PYTHON) -m venv $(VENV_HUB5)
	$(VENV_HUB5)/bin/pip install -q -e '.[test]' 'jupyterhub>=5.5,<5.6'
	touch $@

.PHONY: help demo demo-cluster test lint e2e e2e-down bench lock docs
