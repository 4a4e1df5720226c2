#!/usr/bin/env bash
# Make an empty virtual environment, also where Debian ships Python without the venv module.
#
#   scripts/make_venv.sh FOLDER           with $PYTHON, default python3
set -euo pipefail
folder=${1:?usage: make_venv.sh FOLDER}
python=${PYTHON:-python3}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "make_venv: '$python' is missing or older than Python 3.11; set PYTHON to a newer one" >&2
  exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
  else
    echo "make_venv: '$python' has no venv module; install it (Debian: apt-get install python3-venv) and try again" >&2
    exit 1
  fi
fi
"$python" -m venv "$folder"
