#!/usr/bin/env bash
# Make a headless Chromium available to the tests marked `browser`.
#
#   scripts/setup_browser.sh
#
# As root: Debian's package, installed. Does nothing where a Chromium or Chrome is on the PATH already, or
# KVWATCH_BROWSER names one.
set -euo pipefail

present() {
  local name
  for name in "${KVWATCH_BROWSER:-}" chromium chromium-browser google-chrome; do
    if [ -n "$name" ] && command -v "$name" >/dev/null; then
      return 0
    fi
  done
  return 1
}

if present; then
  exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "setup_browser: install Chromium, or name a Chromium or Chrome in KVWATCH_BROWSER" >&2
  exit 1
fi

echo "setup_browser: fetching chromium"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
present || { echo "setup_browser: installed, and still not on the PATH" >&2; exit 1; }
