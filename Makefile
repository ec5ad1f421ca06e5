# The only task runner. `make` alone lists what there is.
# A line `name: ... ## what it does | what it needs | how long it takes` is its own help;
# a target of more than three lines becomes a script in scripts/.

PYTHON ?= python3
python := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help check check-fleet format test test-faults test-terraform test-cluster test-engines test-delivery e2e e2e-clean cluster tools images chart demo up token loadtest bench \
  bench-full scale matrix environment destroy workstation lock goldens clean dev engine lint

help: ## This list | - | -
	@awk -F' *## *|[:|] *' '/^[a-z-]+:.*##/ {n = split($$0, part, / *(##|\|) */); \
	  printf "  %-15s %-66s %-22s %s\n", $$1, part[2], part[3], part[4]}' $(MAKEFILE_LIST)
	@echo "The first run installs what they need into .venv, .venv-engine and .venv-lint: two minutes."

check: dev ## Format, lint, types, imports, YAML, requirements, hygiene | Python 3.11+ | 10 s
	@scripts/check.sh

check-fleet: dev ## Whether a fleet may be merged; FLEET=clone, else platform/fleet | Python 3.11+; kubectl | 15 s
	@scripts/check-fleet.sh "$${FLEET:-platform/fleet}" $(ARGS)

format: dev ## Format, and fix what ruff can fix | Python 3.11+ | 1 s
	@.venv/bin/ruff check --quiet --fix-only .
	@.venv/bin/ruff format .

test: dev engine lint ## Tests with coverage; ARGS='-k name' for some of them | Python 3.11+; Terraform | 11 min
	@scripts/test.sh $(ARGS)

test-faults: dev engine ## Many kills, interruptions, faults, moves under traffic | Python 3.11+ | 7 min
	@scripts/test-faults.sh $(ARGS)

test-terraform: dev engine ## Roles, module, environments applied on local engines, by their own policies | Terraform 1.11+; Go | 7 min
	@scripts/test-terraform.sh $(ARGS)

test-cluster: dev engine ## Chart, admission, fleet, events, alerts on a real API server | Go 1.26+ | 8 min, first 30
	@scripts/test-cluster.sh $(ARGS)

test-delivery: dev ## From an empty Gitea to signed images and chart in a registry here | Go; buildah; root | 7 min
	@scripts/test-delivery.sh $(ARGS)

test-engines: dev ## Contract suites on DynamoDB Local and ElasticMQ | Java 17+, Maven | 1 min
	@scripts/test-engines.sh $(ARGS)

images: dev ## Build what changed; REGISTRY=, KEY= publish it; ONLY=, PLATFORMS=, PROVIDERS= | buildah; cosign | 5 min
	@exec $(python) -m tenantry_delivery images

chart: dev ## Publish chart and module with the images there: REGISTRY=, KEY= | cosign | 10 s
	@exec $(python) -m tenantry_delivery chart

demo: dev engine ## Main job, proven. ONCE=1 leaves, MESSAGES=file, POISON=1, FAULTS=1 | Python 3.11+ | 10 s
	@exec $(python) -m tenantry_local demo

up: dev engine ## All tiers on this machine, until Ctrl-C | Python 3.11+ | 5 s
	@exec $(python) -m tenantry_local up

token: dev ## A token of a tenant of what runs: TENANT=acme | `make up` or demo | -
	$(if $(TENANT),,$(error name a tenant: make token TENANT=acme))
	@exec $(python) -m tenantry_local token "$$TENANT"

loadtest: dev engine ## Load with a report; SHAPE=noisy and others, HOST=… for another | Python 3.11+ | 2 min
	@exec $(python) -m tenantry_loadtests $(ARGS)

bench: dev engine ## CPU, AWS calls and latency a message, beside their baselines | Python 3.11+ | 8 min
	@exec $(python) -m tenantry_benchmarks $(ARGS)

bench-full: dev engine ## All figures: throughput, memory, noisy neighbours too | Python 3.11+, Node | 40 min
	@exec $(python) -m tenantry_benchmarks --full $(ARGS)

e2e: dev ## The story on a real Kubernetes, in namespaces of its own | Go; Debian; Terraform; root | 15 min
	@scripts/e2e.sh $(ARGS)

cluster: dev ## That Kubernetes alone, for a person to look at, until Ctrl-C | as e2e | 20 s
	@scripts/e2e.sh keep

e2e-clean: dev ## Remove what an e2e run left that was killed | root | 2 s
	@scripts/e2e.sh clean

tools: dev ## Build what test-terraform, test-cluster, test-delivery and e2e need, once | Go 1.26+; gcc | 30 min
	@$(python) scripts/tool.py --all

matrix: dev ## Who may do what in AWS, as a table | Terraform 1.11+ | 15 s
	@PYTHONPATH=tests:tests/platform $(python) -m iam

scale: dev ## Write the tables of docs/scale.md from its models | Python 3.11+ | 5 s
	@$(python) -m tenantry_benchmarks.scale --write docs/scale.md

environment: dev ## Make it, or go on: ENV=dev, YES=1; DRY_RUN=1 shows it and its cost offline | Terraform 1.11+; AWS | 40 min
	$(if $(ENV),,$(error name an environment: make environment ENV=dev))
	@exec $(python) -m tenantry_cloud $(if $(filter-out 0,$(DRY_RUN)),cost "$$ENV",make "$$ENV" $(if $(filter 1,$(YES)),--yes))

destroy: dev ## Destroy an environment without tenants' data: ENV=dev, CONFIRM=dev | Terraform 1.11+; AWS | 30 min
	$(if $(ENV),,$(error name an environment: make destroy ENV=dev))
	@exec $(python) -m tenantry_cloud destroy "$$ENV" $(if $(CONFIRM),--confirm "$$CONFIRM")

workstation: dev ## Print how the state's bucket and the workstation are deployed: ENV=dev | Python 3.11+ | 1 s
	$(if $(ENV),,$(error name an environment: make workstation ENV=dev))
	@exec $(python) -m tenantry_cloud workstation "$$ENV"

lock: ## Resolve anew and write requirements/*.txt | uv | 10 s
	@scripts/lock.sh

goldens: dev ## Write the committed samples that tests compare with; not in CI | Python 3.11+ | 10 s
	@scripts/goldens.sh

clean: ## Remove environments, caches, logs and run folders | - | -
	@rm -rf .venv .venv-engine .venv-lint .tenantry .coverage .coverage.* .hypothesis .*_cache dist loadtests/reports benchmarks/results
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

dev engine lint:
	@command -v "$(PYTHON)" >/dev/null || { echo "$(PYTHON): not found; install Python 3.11 or later, or name one: make PYTHON=..." >&2; exit 2; }
	@"$(PYTHON)" scripts/bootstrap.py $@
