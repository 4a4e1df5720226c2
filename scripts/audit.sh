#!/usr/bin/env bash
# Look the pinned packages up in the published advisories. A look-up that fails is a failure: silence is no clean bill.
#
#   scripts/audit.sh [FOLDER]        the tool's environment, default .cache/audit
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-.cache/audit}

if ! cmp -s scripts/release-constraints.txt "$folder/made"; then
  rm -rf "$folder"
  scripts/make_venv.sh "$folder"
  "$folder/bin/python" -m pip --disable-pip-version-check --quiet install \
    --constraint scripts/release-constraints.txt pip-audit
  cp scripts/release-constraints.txt "$folder/made"
fi
status=0
for pins in constraints.txt scripts/release-constraints.txt; do
  echo "audit: $pins"
  "$folder/bin/pip-audit" --requirement "$pins" --no-deps --disable-pip --strict --progress-spinner off --timeout 30 || status=$?
done
[ "$status" = 0 ] || echo "audit: weaknesses, or no advisories to be had: see above" >&2
exit "$status"
