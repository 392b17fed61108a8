#!/bin/bash
# Everything tests/gpu.sh needs besides this tree, as one folder of at most 50 MiB beside it: tvc and two test programs with
# third-party libraries inside, models, photos, ONNX's cases, and the benchmark's networks without their weights (made by
# torch, here; bench/networks.py).
#   tests/gpu-pack.sh [DATA [FOLDER]]      from the test data (default ../shared/data) to gpu-data
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-${TVC_TEST_DATA:-../shared/data}} to=${2:-gpu-data} python=${TVC_PYTHON:-.venv/bin/python}
[ -e build-static/build.ninja ] || [ -e build-static/Makefile ] || cmake --preset static
cmake --build build-static --target tvc test_grad_ops train_tool
rm -rf "$to"
mkdir -p "$to/models" "$to/datasets/hymenoptera_data" "$to/build/tests" "$to/build/lib"
cp build-static/tvc "$to/build/" && cp build-static/tests/{test_grad_ops,train_tool} "$to/build/tests/"
strip "$to"/build/tvc "$to"/build/tests/*
cp -L "$(ldd build-static/tests/test_grad_ops | sed -n 's/.*=> \(.*libcmocka[^ ]*\).*/\1/p')" "$to/build/lib/"
cp -r "$data/onnx_backend" "$to/"
for m in resnet20_cifar10 squeezenet1.1_imagenet mobilenet_v2_1.0_224_imagenet smallcnn_cifar10_winml mnist_cntk_winml; do
    mkdir "$to/models/$m"
    cp -r "$data/models/$m/model.onnx" "$to/models/$m/"
    for set in "$data/models/$m"/test_data_set_0; do [ ! -d "$set" ] || cp -r "$set" "$to/models/$m/"; done
done
"$python" bench/networks.py pack "$to/nets" resnet50 resnet18 vgg16 densenet121 mobilenet_v2
# A part of the photos: the whole set is 46 MiB.
(cd "$data/datasets/hymenoptera_data" && find . -type f | sort | awk 'NR % 4 == 0') |
    (cd "$data/datasets/hymenoptera_data" && tar -cf - -T -) | tar -xf - -C "$to/datasets/hymenoptera_data"
size=$(du -sm --apparent-size "$to" | cut -f1)
echo "$to: $size MiB"
[ "$size" -le 50 ] || { echo "more than 50 MiB"; exit 1; }
