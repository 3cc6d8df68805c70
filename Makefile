VENV ?= .venv
PYTHON ?= python3
PY = $(VENV)/bin/python
# The CPU build of torch by default: a machine with a GPU sets TORCH=torch
PIP = $(PY) -m pip install --quiet --disable-pip-version-check

.PHONY: help install try test lint golden docs soak bench clean

help:           ## list the commands
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed 's/:[^#]*##/\t/' | expand -t 14
