"""Gradients of whole networks on a GPU against the CPU's, in float32: every trained parameter's, in a training step as a
whole, BatchNorm by the batch. Neither torch nor onnx is needed.

usage: gpu_grads.py TVC TRAIN_TOOL MODEL.onnx [BATCH]

A value near a kink of ReLU or MaxPool may fall on either side by rounding alone, and then gradients differ by more than
rounding. Of three batches a gradient's distance is the median; it may be 1e-3 of its norm. That of a parameter whose
gradient is nothing but rounding (a bias before a normalisation) is held against the largest gradient's norm per element.
"""
import json
import re
import statistics
import subprocess
import sys
import tempfile

import numpy as np

TVC, TOOL, MODEL = sys.argv[1:4]
BATCH = int(sys.argv[4]) if len(sys.argv) > 4 else 4
BATCHES, NEAR, NOTHING = 3, 1e-3, 1e-6
TYPES = {"f32": np.float32, "f64": np.float64}


def said_by(*words):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=420)
    if done.returncode:
        sys.exit(f"{words[0]}: {done.returncode} {done.stderr.strip()[-400:]}")
    return json.loads(done.stdout) if "--json" in words else done.stdout


def gradients(folder, batch, *more):
    """After one step a momentum buffer is its parameter's gradient."""
    np.save(f"{folder}/x.npy", batch[0])
    np.save(f"{folder}/target.npy", batch[1])
    said_by(TOOL, MODEL, BATCH, 1, folder, f"{folder}/out", "lr=1e-3", "momentum=0.9", "bn=train", *more)
    found = {}
    with open(f"{folder}/out", "rb") as f:
        while line := f.readline():
            size, kind, name = line.decode().rstrip("\n").split(" ", 2)
            data = np.frombuffer(f.read(int(size)), TYPES[kind]).astype(np.float64)
            if name.startswith("momentum/") or name == "loss":
                found[name] = data
    return found


def shapes():
    said = said_by(TVC, "inspect", MODEL, "--json")
    sizes = [[int(d) if str(d).isdigit() else BATCH for d in v[0]["shape"]] for v in (said["inputs"], said["outputs"])]
    return sizes[0][1:], int(np.prod(sizes[1][1:]))


def distances(cpu, gpu):
    norms = {k: np.sqrt(np.mean(v ** 2)) for k, v in cpu.items() if k != "loss"}
    floor = NOTHING * max(norms.values())
    for name, norm in norms.items():
        off = np.sqrt(np.mean((cpu[name] - gpu[name]) ** 2))
        yield name, off / max(norm, floor / NEAR)


def main():
    gpus = said_by(TVC, "devices", "--json")["gpus"]
    if not gpus:
        sys.exit("there is no GPU")
    arch = re.search(r"\d+", gpus[0]["target"]).group()
    picture, classes = shapes()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(BATCHES):
            draw = np.random.default_rng(seed)
            batch = draw.standard_normal((BATCH, *picture), np.float32), draw.integers(0, classes, BATCH)
            cpu, gpu = gradients(folder, batch), gradients(folder, batch, f"cuda={arch}")
            if abs(cpu["loss"][0] - gpu["loss"][0]) > NEAR * abs(cpu["loss"][0]):
                sys.exit(f"WRONG loss: {gpu['loss'][0]} instead of {cpu['loss'][0]}")
            for name, off in distances(cpu, gpu):
                found.setdefault(name, []).append(off)
    worst = sorted(((statistics.median(v), k) for k, v in found.items()), reverse=True)
    for off, name in worst:
        if not off <= NEAR:
            print(f"WRONG {name}: off by {off:.1e} of its norm")
    print(f"{len(worst)} gradients on {gpus[0]['name']}, off by at most {worst[0][0]:.1e} ({worst[0][1]})")
    sys.exit(not worst[0][0] <= NEAR)


main()
