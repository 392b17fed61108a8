#!/bin/sh
# python.sh SCRIPT [ARGUMENT...] -- runs a test under the Python that has the references: the one
# named by TVC_PYTHON, else .venv in the source folder, else whatever there is (such a script
# then exits with 77, "skipped", if it cannot import what it needs).
venv=$(dirname "$0")/../.venv/bin/python
[ -x "$venv" ] || venv=python3
exec "${TVC_PYTHON:-$venv}" "$@"
