# make demo   set up .venv and let a ROS 2 node repair the calibration of a synthetic drive
# make test   set up .venv and run the tests (README tells what else there is)
# PYTHON=python3.12 picks the interpreter, VENV=dir the environment, OUT=dir where the demo writes,
# CROSSI2P_DATA=dir where the real recordings are (make results), ROS=wheels|none whether ROS 2 comes from PyPI.

PYTHON ?= python3
VENV ?= .venv
OUT ?= out/demo
CROSSI2P_DATA ?= ../shared/data
BIN := $(VENV)/bin
STAMP := $(VENV)/.crossi2p-installed
HAS_VENV := $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null
HAS_COMPILER := command -v g++ >/dev/null && $(PYTHON) -c 'import os, sysconfig; \
  os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null
HEADERS := $(PYTHON) -c 'import sys; print("python%d.%d-dev" % sys.version_info[:2])'

# Two ROS in one process do not mix: whoever has sourced a distribution gets no second one from PyPI unasked.
ROS ?= $(if $(ROS_DISTRO),none,wheels)

# Whoever names another Python or another ROS than the environment has gets a new one; who names none keeps it.
ASKED = $(filter-out file,$(origin $1))
VERSION_OF := -c 'import sys; print("%d.%d" % sys.version_info[:2])'
HAS_PYTHON := $(if $(call ASKED,PYTHON),$(shell $(BIN)/python $(VERSION_OF) 2>/dev/null))
HAS_ROS := $(if $(call ASKED,ROS),$(shell cat $(STAMP) 2>/dev/null))
STALE := $(filter-out $(if $(HAS_PYTHON),$(shell $(PYTHON) $(VERSION_OF) 2>/dev/null)),$(HAS_PYTHON))
STALE += $(filter-out $(ROS),$(HAS_ROS))
comma := ,
EXTRAS := viz,test$(if $(filter wheels,$(ROS)),$(comma)ros)

# A sourced ROS distribution would put its own numpy, cv2, pytest plugins and libraries before those of the environment.
space := $() $()
parts = $(subst :,$(space),$1)
ifdef AMENT_PREFIX_PATH
OUTSIDE_ROS := $(filter-out $(addsuffix /%,$(call parts,$(AMENT_PREFIX_PATH))),$(call parts,$(LD_LIBRARY_PATH)))
export LD_LIBRARY_PATH := $(subst $(space),:,$(OUTSIDE_ROS))
endif
unexport PYTHONPATH PYTHONHOME AMENT_PREFIX_PATH COLCON_PREFIX_PATH CMAKE_PREFIX_PATH RMW_IMPLEMENTATION
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE
export PYTHONNOUSERSITE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: anew install ros demo test test-slow lint results clean
.DEFAULT_GOAL := install

install: $(STAMP)

$(STAMP): setup.py setup.cfg pyproject.toml constraints.txt $(if $(strip $(STALE)),anew)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "crossi2p needs Python 3.10 or newer as $(PYTHON); name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(HAS_VENV) || { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -qqy python3-venv && $(HAS_VENV); } || \
	  { echo "$(PYTHON) has no venv module; install it first: sudo apt-get install python3-venv" >&2; exit 1; }
	@test -z "$(strip $(STALE))" && $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing crossi2p and what it needs into $(VENV) (minutes the first time)"
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]' --constraint constraints.txt
ifeq ($(ROS),wheels)
	@$(HAS_COMPILER) || { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -qqy g++ "$$($(HEADERS))"; } || true
	@$(BIN)/python -m crossi2p_ros.tf2_msgs_build || echo "going on without TF" >&2
else
	@echo "No ROS 2 from PyPI in $(VENV) (ROS $(ROS_DISTRO) is sourced, or ROS=$(ROS)); ROS=wheels installs it"
endif
	@echo $(ROS) > $@

# Which ROS 2 the environment has, and which packages of it; fails where it has none.
ros: install
	$(BIN)/python -m crossi2p_ros.ros_compat

demo: install
	$(BIN)/python -m crossi2p_ros.demo --out $(OUT)

# Two workers with one thread each: the tests are many small jobs, and torch's own threads would only fight over the cores.
test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

test-slow: install
	$(BIN)/python -m pytest -m slow

lint: install
	$(BIN)/ruff check .
	$(BIN)/mypy

results: install
	$(BIN)/python -m benchmarks.refinement $(CROSSI2P_DATA)
	$(BIN)/python -m benchmarks.decalibration $(CROSSI2P_DATA)

# Not `out`: checkpoints, worlds and results of hours are there.
clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
