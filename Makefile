# Everything runs from .venv, made here. `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/requirements-dev.installed
EMBEDDED := $(BIN)/python -m config.embedded

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*##/\1 \t/p' $(MAKEFILE_LIST)

demo: $(READY)  ## run the product on two sandbox CRMs and print the address and the logins (PORT=8000)
	@$(BIN)/python -m config.demo

test: $(READY)  ## run all tests (ARGS="tests/alerts -k no_activity" for some)
	@.ci/packages test
	@$(BIN)/python -m config.translations compile
	@$(EMBEDDED) sh -c '$(BIN)/python manage.py collectstatic --no-input --verbosity=0 && exec $(BIN)/pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder $(ARGS)'

check: $(READY)  ## format, lint, types, import contracts, migrations, translations, docs/rules.md
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports
	$(BIN)/python -m config.translations check
	@$(EMBEDDED) $(MAKE) --no-print-directory check-settings

# What needs settings, and settings need services.
check-settings:
	$(BIN)/mypy .
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python manage.py check --database default
	$(BIN)/python manage.py write_rules_page --check

faults: $(READY)  ## kill -9 each process in turn, ROUNDS=20 times, and ask the oracle (SEED=1, ONLY=web,worker,beat,valkey,postgres)
	@$(EMBEDDED) --folder .vigie/faults --durable $(BIN)/python -m tests.faults --rounds=$(or $(ROUNDS),20) --seed=$(or $(SEED),1) $(if $(ONLY),--only=$(ONLY)) $(ARGS)

bench: $(READY)  ## measure, and print one JSON line for each figure (ARGS="evaluate_all", SIZE=tiny or full)
	@$(EMBEDDED) --folder .vigie/bench --durable $(BIN)/python -m bench $(ARGS)

run: $(READY)  ## the web server alone, with the environment's own services
	@$(BIN)/gunicorn config.wsgi

worker: $(READY)  ## the worker and its clock, with the environment's own services
	@$(BIN)/celery --app=config worker --beat --loglevel=INFO

# pip checks every file against its hash. The stamp is the last step, so an interrupted installation is done again.
$(READY): requirements-dev.txt
	@.ci/packages venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vigie: Python 3.11 or newer is needed (PYTHON=python3.x)")'
	@echo "Installing Python packages into .venv (about a minute, once) …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.txt
	@touch $@

.PHONY: help demo test check check-settings faults bench run worker
