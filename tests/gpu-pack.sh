#!/bin/bash
# The data that tests/gpu.sh needs, and tvc built for carrying, as one folder of at most 50 MiB beside this tree.
#   tests/gpu-pack.sh [DATA [FOLDER]]      from the test data (default ../shared/data) to gpu-data
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-${TVC_TEST_DATA:-../shared/data}} to=${2:-gpu-data}
rm -rf "$to"
mkdir -p "$to/models" "$to/datasets/hymenoptera_data"
cp -r "$data/onnx_backend" "$to/"
for m in resnet20_cifar10 squeezenet1.1_imagenet mobilenet_v2_1.0_224_imagenet smallcnn_cifar10_winml mnist_cntk_winml; do
    mkdir "$to/models/$m"
    cp -r "$data/models/$m/model.onnx" "$to/models/$m/"
    for set in "$data/models/$m"/test_data_set_*; do [ ! -d "$set" ] || cp -r "$set" "$to/models/$m/"; done
done
# A part of the photos: the whole set is 46 MiB.
(cd "$data/datasets/hymenoptera_data" && find . -type f | sort | awk 'NR % 3 == 0') |
    (cd "$data/datasets/hymenoptera_data" && tar -cf - -T -) | tar -xf - -C "$to/datasets/hymenoptera_data"
size=$(du -sm "$to" | cut -f1)
echo "$to: $size MiB"
[ "$size" -le 50 ] || { echo "more than 50 MiB"; exit 1; }
