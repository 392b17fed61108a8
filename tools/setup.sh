#!/usr/bin/env bash
# setup.sh -- installs what a bare Debian 12 lacks, and does nothing where nothing is lacking.
#
#   tools/setup.sh build    a compiler, CMake, the libraries: enough for build/tvc and its tests
#   tools/setup.sh demo     build, and what tools/demo.sh shows: pictures, ONNX Runtime
#   tools/setup.sh test     demo, and the references that tests compare with: PyTorch, ONNX
#   tools/setup.sh bench    the same as test: models come from torchvision
#   tools/setup.sh dev      test, and clang, for warnings and fuzzing
#
# Debian packages come through apt (with sudo unless root). Python packages go into the folder
# .venv here and nowhere else; it sees Debian's python3-torch, whose exporter works with the
# newest onnx.
set -eu
cd "$(dirname "$0")/.."

build="gcc libc6-dev make cmake protobuf-c-compiler libprotobuf-c-dev libonnx-dev libjansson-dev
       libturbojpeg0-dev libpng-dev libwebp-dev libxxhash-dev zlib1g-dev libcmocka-dev"
demo="python3 python3-venv ca-certificates dataset-fashion-mnist"
test="python3-torch python3-torchvision python3-onnx python3-pil libonnx-testdata"
dev="clang clang-format libclang-rt-14-dev"

# NVIDIA's compiler library turns generated CUDA into machine code without a GPU; Debian has none.
cuda=
/sbin/ldconfig -p | grep -q 'libnvrtc\.so\.1' || cuda="nvidia-cuda-nvrtc"

packages= wheels=
case "${1:-build}" in
    build)      packages=$build ;;
    demo)       packages="$build $demo";            wheels="onnxruntime" ;;
    test|bench) packages="$build $demo $test";      wheels="onnxruntime onnx $cuda" ;;
    dev)        packages="$build $demo $test $dev"; wheels="onnxruntime onnx $cuda" ;;
    *)          echo "usage: tools/setup.sh [build|demo|test|bench|dev]" >&2; exit 2 ;;
esac

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

lacking=
for package in $packages; do
    installed "$package" || lacking="$lacking $package"
done
if [ -n "$lacking" ]; then
    echo "setup: installing$lacking"
    as_root apt-get update -qq
    # shellcheck disable=SC2086  # a list of words
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $lacking >/dev/null
fi

[ -n "$wheels" ] || exit 0
[ -x .venv/bin/python ] || /usr/bin/python3 -m venv --system-site-packages .venv
lacking=
for wheel in $wheels; do                            # Debian's own onnx is too old to count
    ls -d .venv/lib/python3*/site-packages/"$(echo "$wheel" | tr - _)"-*.dist-info >/dev/null 2>&1 || lacking="$lacking $wheel"
done
if [ -n "$lacking" ]; then
    echo "setup: installing$lacking into .venv"
    # shellcheck disable=SC2086
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade $lacking "numpy<2"
fi
