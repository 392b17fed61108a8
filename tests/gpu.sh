#!/bin/bash
# What only a GPU can show, in stages of less than 8 minutes, each of which can be started again: what passed is
# written down in $GPU_OUT and left out the next time. The machine needs a driver, NVRTC, a C compiler and Python
# with torch for the comparison; tvc may have been built elsewhere (cmake --preset static), the data packed by
# tests/gpu-pack.sh. With TVC_CUDA and TVC_NVRTC naming the stand-ins (tests/standin/) it runs anywhere, slowly.
#
#   tests/gpu.sh devices | ops | models | train | sanitize | cublas | bench-N    (N: the batch)
#   TVC        the program (default: build-static/tvc, else build/tvc)
#   GPU_DATA   models, datasets, onnx_backend (default: gpu-data, else the test data)
#   GPU_OUT    results (default: build/gpu)
#   GPU_LIMIT  seconds after which a stage stops; the next start goes on (default 420)
set -uo pipefail
cd "$(dirname "$0")/.."
TVC=${TVC:-$([ -x build-static/tvc ] && echo build-static/tvc || echo build/tvc)}
GPU_DATA=${GPU_DATA:-$([ -d gpu-data ] && echo gpu-data || echo "${TVC_TEST_DATA:-../shared/data}")}
GPU_OUT=${GPU_OUT:-build/gpu} GPU_LIMIT=${GPU_LIMIT:-420}
stage=${1:?one of: devices ops models train sanitize cublas bench-N}
mkdir -p "$GPU_OUT"
export TVC_CACHE=${TVC_CACHE:-$PWD/$GPU_OUT/cache}
log=$GPU_OUT/$stage.log passed=$GPU_OUT/$stage.passed bad=0
touch "$passed"

# step NAME COMMAND...: once, unless it passed before or the time is over.
step() {
    local name=$1
    shift
    grep -qxF "$name" "$passed" && return
    if [ $SECONDS -gt "$GPU_LIMIT" ]; then
        echo "out of time before '$name': start the stage again"
        exit 3
    fi
    echo "== $name" >>"$log"
    if timeout -k 5 $((GPU_LIMIT + 30)) "$@" >>"$log" 2>&1; then
        echo "$name" >>"$passed"
    else
        echo "FAILED $name (exit $?; see $log)"
        tail -n 3 "$log"
        bad=1
    fi
}

given_up() { grep -o '^\* `[a-z0-9_]*`' tests/conformance.md | tr -d '*` '; }

ops() {
    local cases=() all i
    mapfile -t all < <(find "$GPU_DATA/onnx_backend" -name model.onnx -printf '%h\n' | sort | grep -vwFf <(given_up))
    for ((i = 0; i < ${#all[@]}; i += 20)); do
        cases=("${all[@]:i:20}")
        step "$(basename "${cases[0]}") and ${#cases[@]} cases" "$TVC" verify --device cuda "${cases[@]}"
    done
}

models() {
    local m
    for m in "$GPU_DATA"/models/*/model.onnx; do
        step "parity $(basename "$(dirname "$m")")" "$TVC" compare "$m" --device cuda --device cpu --rtol 1e-3 --atol 1e-3
        step "expected $(basename "$(dirname "$m")")" "$TVC" verify "$m" --device cuda --rtol 1e-3 --atol 1e-3
    done
}

# The accuracy of the CPU, and the same bytes twice.
train() {
    local photos=$GPU_DATA/datasets/hymenoptera_data model=$GPU_DATA/models/mobilenet_v2_1.0_224_imagenet/model.onnx k
    local words=(--scale 1 --mean 127.5 --std 127.5 --json)
    for k in 1 2; do step "train $k" "$TVC" train "$model" "$photos" "${words[@]}" --device cuda -o "$GPU_OUT/t$k.onnx"; done
    step "bit for bit" cmp "$GPU_OUT/t1.onnx" "$GPU_OUT/t2.onnx"
    step "eval on the GPU" "$TVC" eval "$GPU_OUT/t1.onnx" "$photos" --device cuda
    step "eval on the CPU" "$TVC" eval "$GPU_OUT/t1.onnx" "$photos" --device cpu
}

sanitize() {
    local tool
    tool=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
    [ -n "$tool" ] || { echo "skipped: there is no compute-sanitizer"; return; }
    local model=$GPU_DATA/models/resnet20_cifar10/model.onnx check
    for check in memcheck racecheck synccheck initcheck; do
        step $check "$tool" --tool $check --error-exitcode 9 "$TVC" bench "$model" --device cuda -n 2 --warmup 1
    done
}

# Our own kernels beside cuBLASLt: ResNet-50 at batch 32 without it, by tvc's rule, and wherever it can; milliseconds and
# kernels left to it. The answers must be the CPU's, and the same bytes twice.
cublas() {
    local model=$GPU_OUT/resnet50.onnx precision wish file out=$GPU_OUT/cublas words
    mkdir -p "$out"
    step "a network" "$TVC" new resnet50 -o "$model"
    for wish in auto always; do
        step "parity $wish" "$TVC" compare "$model" --device cuda --device cpu --cublas $wish --rtol 1e-3 --atol 1e-3
    done
    for precision in fp32 tf32 bf16 fp16; do
        for wish in never auto always; do
            file=$out/$precision-$wish
            words=(bench "$model" --device cuda --batch 32 --precision $precision --cublas $wish --json)
            for k in 1 2; do
                step "$precision $wish $k" bash -c '"$@" >"$0"' "$file.json" "$TVC" "${words[@]}" --dump-output "$file.$k.npy"
            done
            step "$precision $wish: the same bytes" cmp "$file.1.npy" "$file.2.npy"
        done
        for wish in never auto always; do
            echo "$precision $wish $(grep -E 'median_ms|cublas_kernels' "$out/$precision-$wish.json" | tr -d '",\n')"
        done
    done
}

# Milliseconds of tvc, one line a model, beside the device's name; peers: bench/bench.py.
bench() {
    local m n=${stage#bench-}
    "$TVC" devices >>"$log"
    for m in "$GPU_DATA"/models/*/model.onnx; do
        step "$(basename "$(dirname "$m")")" "$TVC" bench "$m" --device cuda --batch "$n" -n 50 --json
    done
}

case $stage in
devices) step devices "$TVC" devices ;;
ops) ops ;;
models) models ;;
train) train ;;
sanitize) sanitize ;;
cublas) cublas ;;
bench-[0-9]*) bench ;;
*) echo "no stage '$stage'" && exit 2 ;;
esac
echo "$stage: $(wc -l <"$passed") steps passed, $([ $bad = 0 ] && echo none || echo some) failed"
exit $bad
