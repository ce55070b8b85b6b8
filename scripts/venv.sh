#!/bin/sh
# scripts/venv.sh PYTHON FOLDER: make a fresh virtual environment in FOLDER, or say in plain words
# what is missing for it.
set -eu
python=$1
folder=$2

if ! command -v "$python" >/dev/null; then
    echo "No command named $python was found. Install Python 3.10 or newer," >&2
    echo "or name the one to use: make PYTHON=/path/to/python3" >&2
    exit 1
fi

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    echo "$python is $("$python" --version 2>&1), and Python 3.10 or newer is needed." >&2
    echo "Name a newer one: make PYTHON=/path/to/python3" >&2
    exit 1
fi

# Debian and Ubuntu split ensurepip, which puts pip into new environments, from python3.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "$python cannot make virtual environments, since its ensurepip module is missing." >&2
    echo "On Debian and Ubuntu install it with: apt-get install python$version-venv" >&2
    exit 1
fi

echo "Making a virtual environment in $folder with $("$python" --version)"
exec "$python" -m venv --clear "$folder"
