#!/usr/bin/env bash
# show.sh FOLDER -- the main job on real input: a small residual network looks at Fashion-MNIST's
# test pictures, gets a new head, is compiled, and is written back as an ONNX file that ONNX
# Runtime accepts. Runs $TVC and leaves what it makes in FOLDER. Fails where a step does not do
# what it says; exits with 77 where the pictures or ONNX Runtime are missing.
set -eu
here=$(dirname "$0")
out=$1
model=$here/fashion7.onnx
pictures=/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz
labels=/usr/share/datasets/fashion-mnist/t10k-labels-idx1-ubyte.gz

say() { printf '\n== %s\n' "$*"; }
tvc() { "$TVC" "$@"; }
show() { printf '$ %s\n' "$*"; "$@"; }
judge() { "$here"/../../tests/python.sh "$here"/check.py "$@"; }

[ -f $pictures ] && judge 2>/dev/null || { echo "skipped: run tools/setup.sh demo"; exit 77; }
mkdir -p "$out"

say "What is in the file, and where its head is"
show tvc inspect "$model"

say "What it sees in the first test pictures"
show tvc run "$model" $pictures:0-4 --top 1
tvc run "$model" $pictures:0-999 --top 1 --json >"$out"/answers.json
judge answers "$model" "$out"/answers.json $labels

say "The same network with a fresh head for 10 classes, compiled"
show tvc compile "$model" --replace-head 10 -o "$out"/fashion10.tvc
show tvc run "$out"/fashion10.tvc $pictures:0-1 --top 3

say "The edited network as an ONNX file, for everybody else"
show tvc edit "$model" --replace-head 10 -o "$out"/fashion10.onnx
tvc run "$out"/fashion10.onnx $pictures:0-99 --top 10 --json >"$out"/edited.json
judge accepts "$out"/fashion10.onnx "$out"/edited.json $pictures

say "Done: $out/fashion10.tvc runs without the ONNX file, $out/fashion10.onnx without tvc"
