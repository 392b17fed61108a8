#!/usr/bin/env bash
# check.sh -- set-up, build and every test that fits 25 minutes on two cores; the rest carries
# the label `slow` (ctest --test-dir build -L slow). Arguments go to ctest: check.sh -R images
set -eu
cd "$(dirname "$0")/.."
tools/setup.sh test
cmake -S . -B build
cmake --build build -j "$(nproc)"
ctest --test-dir build -LE slow -j "$(nproc)" --output-on-failure "$@"
