#!/usr/bin/env bash
# Make prometheus, promtool and alertmanager available to the tests marked `prometheus`.
#
#   scripts/setup_prometheus.sh [FOLDER]  default .cache/prometheus
#
# As root: Debian's packages, installed. Otherwise: the same packages unpacked into FOLDER (binaries in
# FOLDER/usr/bin, which the Makefile puts on the PATH). Does nothing where they are on the PATH already.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${1:-.cache/prometheus}
packages=(prometheus prometheus-alertmanager)
PATH=$PWD/$folder/usr/bin:$PATH

present() {
  local tool
  for tool in prometheus promtool prometheus-alertmanager amtool; do
    command -v "$tool" >/dev/null || return 1
  done
}

if present; then
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "setup_prometheus: no apt-get here; put prometheus, promtool and prometheus-alertmanager on the PATH" >&2
  exit 1
fi

echo "setup_prometheus: fetching ${packages[*]}"
if [ "$(id -u)" -eq 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
else
  # A user may not refresh the system's package lists, so apt gets lists and a cache of its own.
  mkdir -p "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial" "$folder/debs"
  apt=(apt-get -qq -o "Dir::State::lists=$PWD/$folder/apt/lists" -o "Dir::Cache=$PWD/$folder/apt/cache")
  "${apt[@]}" update
  (cd "$folder/debs" && "${apt[@]}" download "${packages[@]}")
  for deb in "$folder"/debs/*.deb; do
    dpkg -x "$deb" "$folder"
  done
  rm -rf "$folder/apt" "$folder/debs"
fi
present || { echo "setup_prometheus: installed, and still not on the PATH" >&2; exit 1; }
