#!/usr/bin/env bash
# Build the image with buildah, also where no registry can be reached.
#
#   scripts/build_image.sh [TAG]          default localhost/kvwatch:VERSION
#   BASE=python:3.13-slim scripts/build_image.sh
#
# Without BASE, the base is made from Debian's packages: Python, a shell and the certificates, unpacked and not
# configured, 90 MB. It is kept in .cache/image, by its recipe. As root, missing tools are installed. pip works inside as it is
# configured here: its configuration and the certificates are lent to the build and stay out of the image.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=.cache/image
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' kvwatch/__init__.py)
tag=${1:-localhost/kvwatch:$version}
suite=bookworm
packages=python3-minimal,python3-venv,dash,coreutils,findutils,libstdc++6,base-files,base-passwd,libc-bin,ca-certificates
recipe=$(echo "$suite $packages" | sha256sum | cut -c 1-12)
archive=$cache/base-$recipe.tar
# Plain chroot, so that it works inside of a container too.
export BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}

need() { # package for each command that is missing
  local missing=()
  for tool in "$@"; do command -v "$tool" >/dev/null || missing+=("$tool"); done
  if [ ${#missing[@]} -eq 0 ]; then return; fi
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "build_image: install ${missing[*]} (Debian: apt-get install ${missing[*]}) and try again" >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

make_base() {
  need mmdebstrap
  mkdir -p "$cache"
  if [ ! -f "$archive" ]; then
    mmdebstrap --quiet --variant=extract --include="$packages" "$suite" "$cache/new.tar"
    mv "$cache/new.tar" "$archive"
  fi
  local container
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$archive" / >/dev/null
  buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  buildah commit --quiet --rm "$container" "$BASE" >/dev/null
}

need buildah crun
if [ -z "${BASE:-}" ]; then
  BASE=localhost/kvwatch-base:$recipe
  buildah inspect --type image "$BASE" >/dev/null 2>&1 || make_base
fi

mkdir -p "$cache"
{ echo '[global]'; python3 -m pip config list 2>/dev/null | sed -nE "s/^(global|user|site)\.([a-z-]+)='(.*)'$/\2 = \3/p"; } > "$cache/pip.conf"
lent=(--volume "$PWD/$cache/pip.conf:/etc/pip.conf:ro")
if [ -d /etc/ssl/certs ]; then
  lent+=(--volume /etc/ssl/certs:/etc/ssl/certs:ro)
fi
# what the configuration names on this machine: a file of constraints, a folder of wheels
for path in $(sed -n 's/^[^=]* = //p' "$cache/pip.conf" | tr ' ,' '\n\n' | grep '^/' | sort -u); do
  case $path in /etc/ssl/certs/*) continue ;; esac
  if [ -e "$path" ]; then lent+=(--volume "$path:$path:ro"); fi
done
buildah bud --format docker --build-arg "BASE=$BASE" "${lent[@]}" --tag "$tag" .
buildah images --format '{{.Name}}:{{.Tag}} {{.Size}}' "$tag"
