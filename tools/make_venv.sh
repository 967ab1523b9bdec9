#!/bin/sh
# make_venv.sh PYTHON FOLDER: a virtual environment with pip, also where the interpreter ships without ensurepip.
set -eu
if "$1" -c 'import ensurepip' 2>/dev/null; then
    "$1" -m venv --clear "$2"
else
    "$1" -m venv --clear --without-pip "$2"
    "$1" -m pip --python "$2/bin/python" install --quiet pip
fi
