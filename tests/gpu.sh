#!/bin/bash
# What only a GPU can show, in stages of less than 8 minutes, each of which can be started again: what passed is
# written down in $GPU_OUT and left out the next time (exit 3: out of time before all was done). The machine needs a driver,
# NVRTC, a C compiler, and Python with numpy; with torch, torchvision and onnxruntime the benchmark has peers. tvc may have
# been built elsewhere and packed with all the data by tests/gpu-pack.sh. With TVC_CUDA and TVC_NVRTC naming the stand-ins
# (tests/standin/) it runs anywhere, slowly.
#
#   tests/gpu.sh devices | ops | grads | models | train | sanitize | cublas | bench-N    (N: the batch)
#   GPU_BUILD  folder of tvc and tests/ (default: gpu-data/build, build-static or build)
#   GPU_DATA   models, nets, datasets, onnx_backend (default: gpu-data, else the test data)
#   GPU_OUT    results (default: build/gpu); GPU_RESULTS: the benchmark's table (default: bench/results)
#   GPU_LIMIT  seconds after which a stage stops; the next start goes on (default 400)
#   GPU_ONLY   only the steps whose name matches this pattern of grep; GPU_NETS: the benchmark's networks, a,b,c
#   GPU_MODEL, GPU_PHOTOS: what stage train learns instead of its own
#   GPU_PYTHON python (default: $TVC_PYTHON, else python3)
set -uo pipefail
cd "$(dirname "$0")/.." || exit
first() { for f in "$@"; do [ -e "$f" ] && echo "$f" && return; done; }
build=${GPU_BUILD:-$(first gpu-data/build build-static build)}
TVC=$build/tvc python=${GPU_PYTHON:-${TVC_PYTHON:-python3}}
GPU_DATA=${GPU_DATA:-$(first gpu-data "${TVC_TEST_DATA:-../shared/data}")}
GPU_OUT=${GPU_OUT:-build/gpu} GPU_LIMIT=${GPU_LIMIT:-400} GPU_ONLY=${GPU_ONLY:-}
stage=${1:?one of: devices ops grads models train sanitize cublas bench-N}
mkdir -p "$GPU_OUT"
out=$(cd "$GPU_OUT" && pwd)
export TVC_CACHE=${TVC_CACHE:-$out/cache} LD_LIBRARY_PATH=$build/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
mkdir -p -m 700 "$TVC_CACHE"
log=$out/$stage.log passed=$out/$stage.passed bad=0
touch "$passed"

# NVRTC and cuBLASLt may be there as Python packages alone, or as a toolkit that the loader was not told of. What they load
# themselves lies beside them.
find_library() {
    [ -n "${!1+set}" ] || ldconfig -p 2>/dev/null | grep -q "$2\.so\.1[2-9]" && return
    local found
    found=$("$python" -c 'import glob, os, sys
toolkits = [os.environ.get("CUDA_HOME", ""), sys.prefix, *sorted(glob.glob("/usr/local/cuda*"), reverse=True)]
folders = [f"{p}/nvidia/*/lib" for p in sys.path if p] + [f"{t}/{l}" for t in toolkits if t for l in ("lib64", "targets/*/lib", "lib")]
print(next(f for d in folders for f in sorted(glob.glob(f"{d}/{sys.argv[1]}.so.1[2-9]"), reverse=True)))' "$2" 2>/dev/null) || return
    export "$1=$found" LD_LIBRARY_PATH="$LD_LIBRARY_PATH:$(dirname "$found")"
}

# step NAME COMMAND...: once, unless it passed before or the time is over.
step() {
    local name=$1 left=$((GPU_LIMIT - SECONDS))
    shift
    grep -qxF "$name" "$passed" && return
    [ -z "$GPU_ONLY" ] || grep -q "$GPU_ONLY" <<<"$name" || return
    if [ $left -le 0 ]; then
        echo "out of time before '$name': start the stage again"
        exit 3
    fi
    echo "== $name" >>"$log"
    if timeout -k 5 $((left + 60)) "$@" >>"$log" 2>&1; then
        echo "$name" >>"$passed"
    else
        echo "FAILED $name (exit $?; see $log)"
        tail -n 3 "$log"
        bad=1
    fi
}

devices() {
    ! command -v nvidia-smi >/dev/null || step driver nvidia-smi
    step devices "$TVC" devices
    step "a GPU with its compiler" bash -c '"$0" devices --json | grep "\"target\": \"cuda:"' "$TVC"
}

given_up() { grep -o '^\* `[a-z0-9_]*`' tests/conformance.md | tr -d '*` '; }

ops() {
    local cases=() all i
    mapfile -t all < <(find -L "$GPU_DATA/onnx_backend" -name model.onnx -printf '%h\n' | sort | grep -vwFf <(given_up))
    for ((i = 0; i < ${#all[@]}; i += 20)); do
        cases=("${all[@]:i:20}")
        step "$(basename "${cases[0]}") and ${#cases[@]} cases" "$TVC" verify --device cuda "${cases[@]}"
    done
}

# Of operators against central differences, of whole networks against the CPU.
grads() {
    local target m
    target=$("$TVC" devices --json | grep -o '"cuda:[a-z]*_[0-9]*a\?"' | head -n 1 | tr -d '"')
    step "gradients of operators" env TVC_GRAD_TARGET="${target:-cuda:none}" "$build/tests/test_grad_ops"
    for m in resnet8:16 resnet20:32 resnet18:64; do
        [ -e "$out/${m%:*}.onnx" ] || "$TVC" new "${m%:*}" --size "${m#*:}" -o "$out/${m%:*}.onnx" -q
        step "gradients of ${m%:*}" "$python" tests/gpu_grads.py "$TVC" "$build/tests/train_tool" "$out/${m%:*}.onnx"
    done
    for m in resnet20_cifar10 smallcnn_cifar10_winml mnist_cntk_winml squeezenet1.1_imagenet mobilenet_v2_1.0_224_imagenet; do
        step "gradients of $m" "$python" tests/gpu_grads.py "$TVC" "$build/tests/train_tool" "$GPU_DATA/models/$m/model.onnx"
    done
}

models() {
    local m
    for m in "$GPU_DATA"/models/*/model.onnx; do
        step "parity $(basename "$(dirname "$m")")" "$TVC" compare "$m" --device cuda --device cpu --rtol 1e-3 --atol 1e-3
        step "expected $(basename "$(dirname "$m")")" "$TVC" verify "$m" --device cuda --rtol 1e-3 --atol 1e-3
    done
}

# Trained on each device with these words: the GPU's accuracy is the CPU's to within two photos (top1 of --json), its bytes
# are the same from run to run.
trained() {
    local name=$1 photos=$2 model=$3 device
    shift 3
    for device in cuda cpu; do
        step "$name on $device" bash -c '"$@" | tee "$0"' "$out/$name.$device.json" \
            "$TVC" train "$model" "$photos" "$@" --json -q --device $device -o "$out/$name.$device.onnx"
    done
    step "$name again" "$TVC" train "$model" "$photos" "$@" -q --device cuda --cache-features off -o "$out/$name.again.onnx"
    step "$name, bit for bit" cmp "$out/$name.cuda.onnx" "$out/$name.again.onnx"
    step "$name, accuracy" "$python" -c 'import json, sys
gpu, cpu = (json.load(open(f))["best_top1"] for f in sys.argv[1:3])
photos = int(sys.argv[3]); print(gpu, cpu); sys.exit(abs(gpu - cpu) * photos > 2.5)' "$out/$name".{cuda,cpu}.json "$(find "$photos/val" -type f | wc -l)"
}

train() {
    local photos=$GPU_DATA/datasets/hymenoptera_data net=$GPU_DATA/models/mobilenet_v2_1.0_224_imagenet/model.onnx
    local small=$GPU_DATA/models/resnet20_cifar10/model.onnx grey=(--preset imagenet --resize 32 --crop 32)
    if [ -n "${GPU_MODEL:-}" ]; then
        trained own "$GPU_PHOTOS" "$GPU_MODEL" --recipe full --epochs 2 --batch 2
        return
    fi
    [ ! -d "$photos" ] || trained head "$photos" "$net" --scale 1 --mean 127.5 --std 127.5
    [ ! -d "$photos" ] || trained full "$photos" "$small" "${grey[@]}" --recipe full --epochs 4
    [ ! -d "$photos" ] || trained fp16 "$photos" "$small" "${grey[@]}" --recipe full --epochs 4 --precision fp16
    [ -d "$photos" ] || echo "skipped: no $photos"
}

sanitize() {
    local tool check
    tool=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
    [ -n "$tool" ] || { echo "skipped: there is no compute-sanitizer"; return; }
    [ -e "$out/resnet8.onnx" ] || "$TVC" new resnet8 --size 16 -o "$out/resnet8.onnx" -q
    for check in memcheck racecheck synccheck initcheck; do
        step "$check, inference" "$tool" --tool $check --error-exitcode 9 "$TVC" bench "$out/resnet8.onnx" --device cuda -n 2 --warmup 1
        step "$check, training" "$tool" --tool $check --error-exitcode 9 --target-processes all \
            "$python" tests/gpu_grads.py "$TVC" "$build/tests/train_tool" "$out/resnet8.onnx" 2
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

# tvc beside its peers, in one run; full and head-only training from batch 8 to 64. The table is made anew each time.
bench() {
    local n=${stage#bench-} modes=infer code name rows=$out/bench.jsonl
    if [ "$n" -ge 2 ] && [ "$n" -le 64 ]; then modes=infer,train,head; fi
    "$python" bench/gpu.py run "$GPU_DATA/nets" "$rows" --batch "$n" --modes $modes --tvc "$TVC" \
        --train-tool "$build/tests/train_tool" --limit "$GPU_LIMIT" ${GPU_NETS:+--names "$GPU_NETS"} 2>&1 | tee -a "$log"
    code=${PIPESTATUS[0]}
    if [ -e "$rows" ]; then
        name=$(sed -n 's/.*"gpu": "\([^"]*\)".*/\1/p' "$rows" | tail -n 1 | tr -cs 'a-zA-Z0-9\n' - | tr A-Z a-z)
        mkdir -p "${GPU_RESULTS:=bench/results}"
        "$python" bench/gpu.py table "$rows" "$GPU_RESULTS/$name.md" >>"$log" && echo "table: $GPU_RESULTS/$name.md"
    fi
    exit "$code"
}

find_library TVC_NVRTC libnvrtc
find_library TVC_CUBLASLT libcublasLt
case $stage in
devices) devices ;;
ops) ops ;;
grads) grads ;;
models) models ;;
train) train ;;
sanitize) sanitize ;;
cublas) cublas ;;
bench-[0-9]*) bench ;;
*) echo "no stage '$stage'" && exit 2 ;;
esac
echo "$stage: $(wc -l <"$passed") steps passed, $([ $bad = 0 ] && echo none || echo some) failed"
exit $bad
