#!/usr/bin/env bash
# Build what a release consists of, the same bytes from the same commit: wheel, source distribution, list of parts
# (CycloneDX), chart, the changelog's section, and the hashes of all of them.
#
#   scripts/build_release.sh FOLDER [VERSION]     VERSION, such as that of a tag, must be the one in the sources
#
# Needs Helm 4 (make setup-helm). What is built is installed in an empty environment and run before anything is left.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:?usage: build_release.sh FOLDER [VERSION]}")
cache=${CACHE:-.cache}
tools=$cache/release
helm=$cache/helm/4/helm

fail() {
  echo "build_release: $*" >&2
  exit 1
}

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' kvwatch/__init__.py)
[ "${2:-$version}" = "$version" ] || fail "asked for $2, but kvwatch/__init__.py says $version"
for field in version appVersion; do
  grep -qE "^$field: \"?$version\"?$" helm/kvwatch/Chart.yaml || fail "$field of helm/kvwatch/Chart.yaml is not $version"
done
notes=$(awk -v head="## [$version]" 'index($0, head) == 1 { on = 1; next } /^## / { on = 0 } on' CHANGELOG.md)
[ -n "$notes" ] || fail "CHANGELOG.md has no section for $version"
[ -z "$(ls -A "$out" 2>/dev/null)" ] || fail "$out is not empty"
[ -x "$helm" ] || fail "no Helm in $helm; run make setup-helm"

# Every date in what is built is that of the commit.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
umask 022

if ! cmp -s scripts/release-constraints.txt "$tools/made"; then
  rm -rf "$tools"
  scripts/make_venv.sh "$tools"
  "$tools/bin/python" -m pip --disable-pip-version-check --quiet install \
    --constraint scripts/release-constraints.txt build hatchling cyclonedx-bom
  cp scripts/release-constraints.txt "$tools/made"
fi

# From what the commit holds, whatever lies about here; the wheel is made of the source distribution.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/source" "$work/out"
git archive HEAD | tar -x -C "$work/source"
"$tools/bin/python" -m build --no-isolation --outdir "$work/out" "$work/source" >/dev/null

# What users get: the pinned environment, with every extra.
scripts/make_venv.sh "$work/env"
"$work/env/bin/python" -m pip --disable-pip-version-check --quiet install --constraint constraints.txt \
  "$(echo "$work"/out/*.whl)[grpc,kubernetes]"
[ "$(cd / && "$work/env/bin/kvwatch" --version)" = "kvwatch $version" ] || fail "the wheel does not run"
"$tools/bin/cyclonedx-py" environment "$work/env/bin/python" --pyproject "$work/source/pyproject.toml" \
  --output-reproducible --of JSON -o "$work/out/kvwatch-$version.cdx.json" 2>/dev/null

# Helm writes the time of packaging into the archive's headers, so they are written again.
"$helm" package "$work/source/helm/kvwatch" --destination "$work/chart" >/dev/null
tar -xzf "$work/chart/kvwatch-$version.tgz" -C "$work/chart"
tar -C "$work/chart" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
  --format=ustar -cf - kvwatch | gzip -n9 >"$work/out/kvwatch-chart-$version.tgz"

printf '%s\n' "$notes" | sed -e '/./,$!d' >"$work/out/NOTES.md"
(cd "$work/out" && sha256sum -- * >SHA256SUMS)
mkdir -p "$out"
cp "$work"/out/* "$out/"
cat "$out/SHA256SUMS"
