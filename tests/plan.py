"""The memory plan that `tvc compile --json` prints: recomputed here, kernels counted, overlaps looked for.

usage: plan.py TVC
For full-size networks of the test data (skipped, exit 77, without): live_bound_bytes is the greatest sum, over the
launches of `forward`, of the buffers alive during it, weights excluded; the arena is at most 1.05 times that; no two
buffers that are alive together overlap.
"""
import json
import os
import subprocess
import sys

TVC = sys.argv[1]
HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.environ.get("TVC_TEST_DATA", os.path.join(HERE, "..", "..", "shared", "data"))
ALIGN = 64
MODELS = [f"onnx_backend/light/light_{n}.onnx" for n in ("resnet50", "densenet121", "squeezenet", "inception_v1", "inception_v2",
                                                         "shufflenet", "bvlc_alexnet", "vgg19", "zfnet512")]
MODELS += [f"models/{n}/model.onnx" for n in ("mobilenet_v2_1.0_224_imagenet", "squeezenet1.1_imagenet", "resnet20_cifar10",
                                              "densenet_bc_40_12_cifar10")]
MOST_KERNELS = {"light_resnet50.onnx": 100}          # Winograd's transforms included
bad = 0


def check(what, holds, more=""):
    global bad
    if not holds:
        bad += 1
        print(f"WRONG {what}: {more}", flush=True)


def lives(plan, function):
    """{buffer: (first step, last step)} of the arena; what the caller writes or reads lives from or to the end."""
    steps, life = plan[function], {}
    roles = {s["buffer"]: s["role"] for s in plan["slots"]}
    for i, step in enumerate(steps):
        for b in step["writes"] + step["reads"]:
            if plan["buffers"][b]["space"] == "arena":
                life[b] = (life.get(b, (i, i))[0], i)
    if function == "forward":
        for b, role in roles.items():
            if plan["buffers"][b]["space"] == "arena":
                first, last = life.get(b, (0, 0))
                life[b] = (0, last) if role == "input" else (first, len(steps) - 1)
    return life


def check_function(name, plan, function):
    """The greatest sum of live buffers, and the highest byte used."""
    life, top, most = lives(plan, function), 0, 0
    where = {b: (plan["buffers"][b]["offset"], plan["buffers"][b]["offset"] + plan["buffers"][b]["bytes"]) for b in life}
    for i in range(len(plan[function])):
        alive = sorted(where[b] for b, (first, last) in life.items() if first <= i <= last)
        most = max(most, sum((end - at + ALIGN - 1) // ALIGN * ALIGN for at, end in alive))
        for (_, end), (at, _) in zip(alive, alive[1:]):
            check(f"{name} {function}, step {i}", end <= at, f"a buffer ends at {end}, the next starts at {at}")
        top = max([top, *[end for _, end in alive]])
    return most, top


def check_model(path):
    name = os.path.basename(path) if "light" in path else path.split("/")[-2]
    r = subprocess.run([TVC, "compile", "--json", "-q", path], capture_output=True, text=True, timeout=600)
    if r.returncode:
        check(name, False, r.stderr)
        return
    said = json.loads(r.stdout)
    plan = said["plan"]
    most, top = check_function(name, plan, "forward")
    init_most, init_top = check_function(name, plan, "init")
    check(f"{name}: launches", said["kernels"] == len(plan["forward"]), f"{said['kernels']} and {len(plan['forward'])}")
    check(f"{name}: kernels", said["kernels"] <= MOST_KERNELS.get(name, said["kernels_unfused"]), said["kernels"])
    check(f"{name}: the bound", said["live_bound_bytes"] == max(most, init_most), f"{said['live_bound_bytes']} said, {most} and {init_most} found")
    check(f"{name}: the top", max(top, init_top) <= said["arena_bytes"], f"{top} and {init_top} in {said['arena_bytes']}")
    check(f"{name}: the arena", said["arena_bytes"] <= 1.05 * most, f"{said['arena_bytes']} for {most}")
    print(f"{name}: {said['kernels']} kernels of {said['kernels_unfused']} operators, arena {said['arena_bytes'] / max(most, 1):.3f} x {most / 1e6:.2f} MB "
          f"(init: {init_most / 1e6:.2f} MB)", flush=True)


if not os.path.isdir(DATA):
    print(f"skipped: no test data at {DATA}: set TVC_TEST_DATA")
    sys.exit(77)
os.environ.setdefault("TVC_CACHE", os.path.join(os.path.dirname(os.path.abspath(TVC)), "cache"))
for m in MODELS:
    check_model(f"{DATA}/{m}")
sys.exit(bad > 0)
