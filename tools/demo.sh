#!/usr/bin/env bash
# demo.sh -- the main job on real input, from a bare Debian 12: set-up, build, and a small
# residual network (examples/fashion) that looks at Fashion-MNIST's test pictures, gets a new
# head, is compiled, and is written back as an ONNX file that ONNX Runtime accepts.
# What it makes lies in build/demo. Fails where a step does not do what it says.
set -eu
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }
show() { printf '$ %s\n' "$*"; "$@"; }

say "Set-up and build"
tools/setup.sh demo
mkdir -p build/demo
{ cmake -S . -B build && cmake --build build -j "$(nproc)" --target tvc; } >build/demo/build.log 2>&1 || {
    cat build/demo/build.log
    exit 1
}

model=examples/fashion/fashion7.onnx
pictures=/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz
labels=/usr/share/datasets/fashion-mnist/t10k-labels-idx1-ubyte.gz
out=build/demo
PATH=$PWD/build:$PATH

say "What is in the file, and where its head is"
show tvc inspect $model

say "What it sees in the first test pictures"
show tvc run $model $pictures:0-4 --top 1
tvc run $model $pictures:0-999 --top 1 --json >$out/answers.json
.venv/bin/python examples/fashion/check.py answers $model $out/answers.json $labels

say "The same network with a fresh head for 10 classes, compiled"
show tvc compile $model --replace-head 10 -o $out/fashion10.tvc
show tvc run $out/fashion10.tvc $pictures:0-1 --top 3

say "The edited network as an ONNX file, for everybody else"
show tvc edit $model --replace-head 10 -o $out/fashion10.onnx
tvc run $out/fashion10.onnx $pictures:0-99 --top 10 --json >$out/edited.json
.venv/bin/python examples/fashion/check.py accepts $out/fashion10.onnx $out/edited.json $pictures

say "Done: $out/fashion10.tvc runs without the ONNX file, $out/fashion10.onnx without tvc"
