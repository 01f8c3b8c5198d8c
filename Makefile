# Shortcuts.  Everything but the set-up is done by Snakemake and pytest; see README.md for using them directly.
SHELL := bash
.DEFAULT_GOAL := help

# (nproc takes OMP_NUM_THREADS, below, for the number of processors)
JOBS ?= $(shell env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
# settings to change, for example SET="regression.schedule.updates_per_epoch=10"
SET ?=
# the scale of make verify and make html
SCALE ?= paper

# a variable of another name, such as SETT=..., would change nothing without a word
VARIABLES := JOBS SET SCALE STRICT TORCH_INDEX PYTHON
given := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
$(foreach name,$(filter-out $(VARIABLES),$(given)),$(error $(name)=...: no such variable; there are $(VARIABLES)))

# (tools run as modules: the scripts in .venv/bin do not work in a folder of any name)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# one thread per process; processes run in parallel
export OMP_NUM_THREADS := 1
# this checkout's code, and no packages from the user's home
export PYTHONPATH := $(CURDIR)/src
export PYTHONNOUSERSITE := 1
SNAKEMAKE := bash workflow/run.sh --profile profiles/default --cores $(JOBS)
with = --config scale=$(1) set="$(SET)"
# prints how long the unfinished part of a scale will take
estimate = python -m replication estimate --scale-file config/$(1).yaml --set="$(SET)" --jobs $(JOBS) --results results/$(1)
# prints which of the files to look at were made (without TeX there is no PDF)
made = echo "$(1): look at $$(ls $(2) 2>/dev/null | paste -sd ' ')"

# runs targets side by side; the longest stand first
beside = $(MAKE) --no-print-directory --jobs=$(JOBS)
LINTS := lint-types lint-rules lint-imports lint-style lint-format

.PHONY: help setup reproduce test quick smoke figures page docs review html bundle publish verify readme study tuning bench lab lint lock trials schema clean
.PHONY: quick-tests $(LINTS)

help: ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12
	@echo 'Variables: JOBS (processes, now $(JOBS)), SET (settings), SCALE (of verify and html), STRICT (of verify),'
	@echo '           PYTHON (interpreter for the set-up), TORCH_INDEX (package index with CPU builds of torch)'

setup: ## Make .venv from requirements.lock and look for TeX (skipped while nothing has changed)
	@bash workflow/setup.sh

reproduce: ## Six seeds of what the paper trains, up to paper/report.pdf (20 to 60 minutes on two cores)
	@echo 'reproduce: set-up (first time: 3 to 6 minutes), then data, training, notebooks, figures, tables and'
	@echo '           paper/report.pdf with $(JOBS) processes: 20 to 60 minutes on two cores. Stop it at any time;'
	@echo '           the same command goes on where it was.'
	@bash workflow/setup.sh
	@$(call estimate,paper)
	@$(SNAKEMAKE) $(call with,paper)

test: ## Lint, types, unit and property tests, then the smoke pipeline (12 to 25 minutes)
	@echo 'test: set-up (first time: 3 to 6 minutes), lint and types, unit and property tests, then the pipeline with'
	@echo '      tiny budgets, PDF included: 12 to 25 minutes on two cores.'
	@bash workflow/setup.sh
	@$(MAKE) --no-print-directory lint
	@python -m pytest -n $(JOBS)
	@$(MAKE) --no-print-directory smoke
	@echo 'test: everything passed'

quick: ## Lint, types and the fast tests, which do not run the pipeline, for use while you work (about a minute)
	@bash workflow/setup.sh
	@$(beside) quick-tests $(LINTS)

quick-tests:
	@python -m pytest -n $(JOBS) -m 'not slow'

smoke: ## The whole pipeline with tiny budgets, PDF included (2 to 3 minutes)
	@bash workflow/setup.sh
	@echo 'smoke: about eighty short jobs, two to three minutes on two cores'
	@$(SNAKEMAKE) $(call with,smoke)
	@$(SNAKEMAKE) $(call with,smoke) --dry-run --quiet rules 2>&1 | grep -q 'Nothing to be done' \
	  || { echo 'smoke: a second run would not be empty; see snakemake --dry-run' >&2; exit 1; }

figures: ## Every figure, table, number, claim and the PDF from the shipped results, without training
	@echo 'figures: checks shipped/results/study against its checksums and makes the report from it, in results/shipped/.'
	@bash workflow/setup.sh
	@$(SNAKEMAKE) --config scale=study from=shipped

page: ## The explorer, one page that shows the shipped results and needs no network (half a minute)
	@bash workflow/setup.sh
	@$(SNAKEMAKE) --config scale=study from=shipped -- results/shipped/study/explorer.html
	@$(call made,page,results/shipped/study/explorer.html)

docs: ## The documentation as a site to read offline, with the notebooks run on the shipped results (two minutes)
	@bash workflow/setup.sh
	@$(SNAKEMAKE) --config scale=study from=shipped -- notebooks
	@python -m sphinx --quiet --fail-on-warning --keep-going -c docs . results/site
	@$(call made,docs,results/site/docs/index.html)

review: ## One seed of every arm of the scale paper at full length with the whole report; compares each run with the shipped one (15 to 30 minutes)
	@bash workflow/setup.sh
	@$(call estimate,review)
	@$(SNAKEMAKE) $(call with,review)
	@$(SNAKEMAKE) --config scale=study from=shipped -- restore
	@echo 'review: results/review beside the shipped results, arm by arm (exact, numeric, or drifted by rounding):'
	@python -m replication compare results/review results/shipped/study

html: ## Snakemake's own report of a finished scale, one file to read offline (SCALE=paper, smoke, shipped/study)
	@bash workflow/setup.sh
	@$(SNAKEMAKE) --report results/$(SCALE)/report.html --config scale=$(notdir $(SCALE)) \
	  from=$(filter shipped,$(subst /, ,$(SCALE))) set="$(SET)"

bundle: figures ## One archive of sources, shipped results, report and claims that rebuilds its figures elsewhere
	@python -m replication bundle --results results/shipped/study --out dist

publish: ## For maintainers: make shipped results of the study's banked runs, which report and explorer read (minutes)
	@bash workflow/setup.sh
	@python -m replication publish --scale-file config/study.yaml --results results/study --bank shipped/results/study

verify: ## Check every claim of SCALE (default paper) against its tolerance; STRICT=1: fail on a deviation, too
	@bash workflow/setup.sh
	@python -m replication verify --results results/$(SCALE) $(if $(STRICT),--strict)

readme: ## For maintainers: bring numbers, verdicts and pictures in README.md and docs/ up to date with the shipped results
	@bash workflow/setup.sh
	@$(SNAKEMAKE) --config scale=study from=shipped -- restore
	@python -m replication fill README.md docs/*.md --results results/shipped/study

study: ## The unfinished runs of the confirmatory study (many hours, estimated first; the same command goes on after a stop)
	@bash workflow/setup.sh
	@$(call estimate,study) --bank shipped/results/study
	@python -m replication study --scale-file config/study.yaml --set="$(SET)" --results results/study \
	  --bank shipped/results/study --jobs $(JOBS)

tuning: ## For maintainers: the runs on tuning seeds, from which the settings are chosen (many hours)
	@bash workflow/setup.sh
	@$(call estimate,tuning)
	@for scale in tuning tuning-tightening; do \
	  python -m replication race --scale-file config/$$scale.yaml --set="$(SET)" --results results/$$scale \
	    --bank shipped/$$scale --jobs $(JOBS) || exit 1; \
	done
	@for scale in tuning-look tuning-baselines; do \
	  python -m replication study --scale-file config/$$scale.yaml --results results/$$scale --bank shipped/$$scale \
	    --jobs $(JOBS) && \
	  python -m replication arms --scale-file config/$$scale.yaml --results results/$$scale --bank shipped/$$scale \
	  || exit 1; \
	done

bench: ## The benchmarks, written to results/bench/ (5 to 15 minutes; best on an idle machine)
	@bash workflow/setup.sh
	@python -m benchmarks

lab: ## JupyterLab on the notebooks, in the environment of the lock file
	@bash workflow/setup.sh
	@python -m jupyterlab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks

lint: ## Style, formatting, types and what may import what
	@bash workflow/setup.sh
	@$(beside) $(LINTS)

lint-types:
	@python -m mypy

lint-rules:
	@python -m snakefmt --check --compact-diff Snakefile workflow

lint-imports:
	@python -c 'from importlinter import cli; cli.lint_imports_command()' --no-logo

lint-style:
	@python -m ruff check .

lint-format:
	@python -m ruff format --check .

lock: ## For maintainers: write requirements.lock from requirements.in (needs uv and the package index)
	@bash workflow/lock.sh

trials: ## Kills, full disks, hosts, Slurm, mutants, advisories; tables in results/trials (an hour or more)
	@bash workflow/setup.sh
	@python -m tests.trials --jobs $(JOBS)

schema: ## Write config/default.yaml and config/schema.json from the settings' models in src/replication
	@bash workflow/setup.sh
	@python -m replication defaults --out config/default.yaml
	@python -m replication schema --out config/schema.json

clean: ## Remove everything that was made, results included, except the environment
	rm -rf results logs dist .snakemake paper/report.pdf .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
