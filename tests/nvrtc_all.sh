#!/bin/sh
# Eight networks, inference and training, through NVRTC for four architectures, and the table of it: registers,
# spills, seconds, and what of the FLOPs is on tensor cores. No GPU is needed. Each network is a stage of a few
# minutes; what was compiled is written down in STATE, and a later start goes on from there.
#
#   tests/nvrtc_all.sh [NETWORK]     one of them, or all; then the table, of those that are complete
#   BUILD  the build folder (default: build)      STATE  results (default: BUILD/nvrtc)
set -eu
cd "$(dirname "$0")/.."
BUILD=${BUILD:-build} STATE=${STATE:-$BUILD/nvrtc}
PYTHON=${TVC_PYTHON:-.venv/bin/python}
export TVC_MODELS=${TVC_MODELS:-$STATE/models} PYTHONPATH=tests
mkdir -p "$STATE" "$TVC_MODELS"
bad=0
for network in ${1:-resnet18 resnet50 vgg11_bn squeezenet1_1 densenet121 inception_v3 mobilenet_v2 mobilenet_v3_small}; do
    "$PYTHON" tests/cuda_models.py "$BUILD/tests/cuda_tool" nvrtc sm_80 sm_90 sm_100 sm_120 compute_90 --only="$network" --state="$STATE" || bad=1
done
"$PYTHON" tests/cuda_models.py "$BUILD/tests/cuda_tool" table --state="$STATE" >"$STATE/table.md"
mv "$STATE/table.md" bench/results/nvrtc-models.md
exit $bad
