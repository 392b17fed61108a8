#!/usr/bin/env bash
# demo.sh -- set-up and build on a bare Debian 12, then the main job on real input: see
# examples/fashion/show.sh. What it makes lies in build/demo.
set -eu
cd "$(dirname "$0")/.."
tools/setup.sh demo
mkdir -p build/demo
echo "building (build/demo/build.log)"
{ cmake -S . -B build && cmake --build build -j "$(nproc)" --target tvc; } >build/demo/build.log 2>&1 || {
    cat build/demo/build.log
    exit 1
}
TVC=$PWD/build/tvc exec examples/fashion/show.sh build/demo
