# Shortcuts.  Everything but the set-up is done by Snakemake and pytest; see README.md for using them directly.
SHELL := bash
.DEFAULT_GOAL := help

JOBS ?= $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
# settings of the profile to change, for example SET="regression.schedule.updates_per_epoch=10"
SET ?=

export PATH := $(CURDIR)/.venv/bin:$(PATH)
# one thread per process; what runs in parallel are processes
export OMP_NUM_THREADS := 1
SNAKEMAKE := snakemake --profile profiles/default --cores $(JOBS)
with = --config profile=$(1) set="$(SET)"

.PHONY: help setup reproduce test smoke lint schema clean

help: ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12
	@echo 'Variables: JOBS (processes, now $(JOBS)), SET (settings), TORCH_INDEX (package index with CPU builds of torch)'

setup: ## Make .venv from requirements.lock and look for TeX (skipped while nothing has changed)
	@bash workflow/setup.sh

reproduce: ## The whole paper profile, up to paper/report.pdf (about half an hour on two cores)
	@echo 'reproduce: set-up (first time: 3 to 6 minutes), then data, training, notebooks, figures, tables and'
	@echo '           paper/report.pdf with $(JOBS) processes: about half an hour on two cores. Stop it at any time;'
	@echo '           the same command goes on where it was.'
	@bash workflow/setup.sh
	@$(SNAKEMAKE) $(call with,paper)

test: ## Lint, types, unit and property tests, then the smoke pipeline (about 10 minutes)
	@echo 'test: set-up (first time: 3 to 6 minutes), lint and types, unit and property tests, then the pipeline with'
	@echo '      tiny budgets, PDF included: about 10 minutes on two cores.'
	@bash workflow/setup.sh
	@$(MAKE) --no-print-directory lint
	@pytest -n $(JOBS)
	@$(MAKE) --no-print-directory smoke
	@echo 'test: everything passed'

smoke: ## The same pipeline with tiny budgets, PDF included (about 4 minutes)
	@bash workflow/setup.sh
	@$(SNAKEMAKE) $(call with,smoke)
	@$(SNAKEMAKE) $(call with,smoke) --dry-run --quiet rules 2>&1 | grep -q 'Nothing to be done' \
	  || { echo 'smoke: a second run would not be empty; see snakemake --dry-run' >&2; exit 1; }

lint: ## Style, formatting and types
	@bash workflow/setup.sh
	@ruff check .
	@ruff format --check .
	@snakefmt --check --compact-diff Snakefile workflow
	@mypy

schema: ## Write config/default.yaml and config/schema.json from the models in src/scpo/experiment/config.py
	@bash workflow/setup.sh
	@python -m scpo defaults --out config/default.yaml
	@python -m scpo schema --out config/schema.json

clean: ## Back to a fresh clone but for the environment
	rm -rf results logs .snakemake paper/report.pdf .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
