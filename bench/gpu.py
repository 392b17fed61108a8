#!/usr/bin/env python3
"""Networks on a GPU: tvc beside PyTorch (eager, torch.compile) and ONNX Runtime (CUDA, TensorRT), where installed, in one run.

Inference goes from pictures in host memory to scores in host memory, for everybody; steps of training have their pictures on
the device. Each measurement is a process of its own: the median of its calls after a few that do not count. Memory is what
the whole GPU has in use at most, less what it had before: the driver's own share is in it for everybody. `open` is what comes
before the first call: compiling, loading, choosing algorithms.

    bench/gpu.py run NETWORKS RESULTS --batch N [--modes infer,train,head] [--names resnet50,...] [--limit SECONDS]
    bench/gpu.py table RESULTS OUT.md

NETWORKS is a folder of networks.py. RESULTS gets a line of JSON for each measurement; what has one is not measured again, so
that a run may be stopped and started again (exit code 3: out of time before all was done).
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import networks

HERE = Path(__file__).resolve().parent
WAYS = {"infer": ["tvc", "eager", "compile", "ort-cuda", "ort-trt"], "train": ["tvc", "eager", "compile"], "head": ["tvc", "eager", "compile"]}
TITLES = {"infer": "Inference", "train": "Training, all weights", "head": "Training, a new head on a frozen backbone"}
STEPS, LONGEST, OVER = 12, 400, 60                   # of a training run by tvc; seconds: of a measurement, of a run past its limit
PRECISIONS = ["fp32", "tf32", "bf16", "fp16"]        # as build/tests/train_tool numbers them


# ---- memory ----
class Memory:
    """The most that the first GPU has in use while this lasts, in MB, above what it had before; None without nvidia-smi."""

    def __enter__(self):
        self.before, self.most, self.over = self.used(), 0, threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    @staticmethod
    def used():
        try:
            said = subprocess.run(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", "0"],
                                  capture_output=True, text=True, timeout=20)
            return int(said.stdout)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return None

    def watch(self):
        while self.before is not None and not self.over.wait(0.1):
            self.most = max(self.most, self.used() or 0)

    def megabytes(self):
        return None if self.before is None else max(self.most - self.before, 0)


# ---- tvc ----
def said_by(command, args):
    left = args.limit + OVER - (time.monotonic() - args.began)
    done = subprocess.run([str(w) for w in command], capture_output=True, text=True, timeout=max(1, min(LONGEST, left)))
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-300:])
    return done.stdout


def evaluation_form(args, name):
    path = args.networks / f"{name}.eval.onnx"
    if not path.exists():
        said_by([args.tvc, "edit", args.networks / f"{name}.onnx", "--eval", "-o", path, "-q"], args)
    return path


def tvc_infer(args, name):
    count = max(10, min(50, 1600 // args.batch))
    said = json.loads(said_by([args.tvc, "bench", evaluation_form(args, name), "--device", "cuda", "--batch", args.batch, "--precision",
                               args.precision, "-n", count, "--warmup", 5, "--json", "-q"], args))
    return {"ms": said["median_ms"], "open_s": said["open_seconds"]}


def tvc_steps(args, name, only):
    import numpy as np
    side, began = networks.NETWORKS[name].side, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/x.npy", np.random.default_rng(0).standard_normal((args.batch, 3, side, side), np.float32))
        np.save(f"{folder}/target.npy", np.arange(args.batch, dtype=np.int64) % networks.CLASSES)
        words = ["lr=0.01", "momentum=0.9", "profile=2", f"cuda={args.arch}", f"precision={PRECISIONS.index(args.precision)}"]
        words += [f"only={only}"] if only else ["bn=train"]
        words += ["scale=1024"] if args.precision == "fp16" else []
        text = said_by([args.train_tool, args.networks / f"{name}.onnx", args.batch, STEPS, folder, f"{folder}/out", *words], args)
    whole = time.perf_counter() - began
    seconds = [float(s) for s in re.search(r"^seconds (.*)$", text, re.M).group(1).split()]
    return {"ms": 1e3 * statistics.median(seconds[2:]), "open_s": whole - sum(seconds[1:])}


def tvc_side(args, name, mode):
    if mode == "infer":
        return tvc_infer(args, name)
    return tvc_steps(args, name, networks.NETWORKS[name].head if mode == "head" else None)


# ---- a run ----
def peer_side(args, way, name, mode):
    command = [sys.executable, HERE / "gpu_peer.py", way, name, mode, args.batch, args.precision, evaluation_form(args, name)]
    return json.loads(said_by(command, args).splitlines()[-1])


def stop():
    print("out of time: start again to go on")
    sys.exit(3)


def measure(args, way, name, mode):
    row = {"way": way, "network": name, "mode": mode, "batch": args.batch, "precision": args.precision}
    try:
        with Memory() as memory:
            row.update(tvc_side(args, name, mode) if way == "tvc" else peer_side(args, way, name, mode))
        if "ms" in row:
            row["mb"] = memory.megabytes()
    except subprocess.TimeoutExpired as e:
        if e.timeout < min(LONGEST, args.limit):
            stop()
        row["absent"] = f"more than {e.timeout:.0f} s"
    except (RuntimeError, OSError, ValueError) as e:
        row["error"] = str(e)
    return row


def key(row):
    return tuple(row[k] for k in ("way", "network", "mode", "batch", "precision"))


def read_rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def asked_gpu(args):
    """What tvc calls the GPU, and its architecture's number."""
    said = json.loads(said_by([args.tvc, "devices", "--json"], args))
    if not said["gpus"]:
        sys.exit(f"no GPU: {said['gpus_why_none']}")
    gpu = said["gpus"][0]
    return gpu["name"], int(re.search(r"\d+", gpu["target"]).group())


def run(args):
    networks.fill_all(args.networks)
    gpu, args.arch = asked_gpu(args)
    done, bad = {key(r) for r in read_rows(args.results) if "error" not in r}, 0
    for mode in args.modes:
        for name in args.names:
            for way in WAYS[mode]:
                if (way, name, mode, args.batch, args.precision) in done:
                    continue
                if time.monotonic() - args.began > args.limit:
                    stop()
                row = {"gpu": gpu, **measure(args, way, name, mode)}
                with open(args.results, "a") as f:
                    f.write(json.dumps(row) + "\n")
                bad += "error" in row
                print(json.dumps(row), flush=True)
    sys.exit(bad != 0)


# ---- the table ----
def cell(row):
    if row is None:
        return "", "", ""
    if "ms" not in row:
        return "failed" if "error" in row else "none", "", ""
    return f"{1e3 * row['batch'] / row['ms']:.0f}", f"{row['ms']:.2f}", f"{row['mb']:.0f}" if row.get("mb") is not None else "?"


def section(rows, mode):
    """Images a second of each way and what tvc is by them; then milliseconds, memory, seconds before the first call."""
    ways = [w for w in WAYS[mode] if any(r["way"] == w and "ms" in r for r in rows)]
    peers = [w for w in ways if w != "tvc"]
    lines = [f"## {TITLES[mode]}", "", "| network | batch | precision | " + " | ".join(f"{w} images/s" for w in ways) + "".join(f" | by {w}" for w in peers) +
             " | ms: " + " / ".join(ways) + " | MB | open s |", "|---|--:|---|" + "--:|" * (len(ways) + len(peers) + 3)]
    for what in sorted({(r["network"], r["batch"], r["precision"]) for r in rows}):
        mine = {r["way"]: r for r in rows if (r["network"], r["batch"], r["precision"]) == what}
        cells = [cell(mine.get(w)) for w in ways]
        ratios = [f"**{mine[w]['ms'] / mine['tvc']['ms']:.2f}**" if all("ms" in mine.get(k, {}) for k in (w, "tvc")) else "" for w in peers]
        opened = [f"{mine[w]['open_s']:.1f}" if "ms" in mine.get(w, {}) else "" for w in ways]
        lines.append(f"| {what[0]} | {what[1]} | {what[2]} | " + " | ".join([c[0] for c in cells] + ratios) + " | " +
                     " | ".join(" / ".join(column) for column in ([c[1] for c in cells], [c[2] for c in cells], opened)) + " |")
    return lines + [""]


def table(results, out):
    latest = {key(r): r for r in read_rows(results)}
    rows = list(latest.values())
    versions = sorted({f"{r['way']} {r['version']}" + (" on the CPU" if r.get("on") == "cpu" else "") for r in rows if "version" in r})
    missing = sorted({f"{r['way']}: {r['absent']}" for r in rows if "absent" in r})
    lines = [f"# {', '.join(sorted({r['gpu'] for r in rows}))}", "", "Made by bench/gpu.py, which says what is measured. `by`: a peer's time by tvc's; above 1, "
             "tvc is faster. " + "; ".join(versions) + ".", ""]
    for mode in TITLES:
        if any(r["mode"] == mode for r in rows):
            lines += section([r for r in rows if r["mode"] == mode], mode)
    lines += [f"Not measured: {'; '.join(missing)}."] if missing else []
    out.write_text("\n".join(lines).rstrip() + "\n")
    print(out.read_text())


def arguments():
    words = lambda text: [w for w in text.split(",") if w]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("networks", type=Path, help="run: folder of networks.py; table: the results")
    parser.add_argument("results", type=Path, help="run: the results; table: where the table goes")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--precision", choices=PRECISIONS, default="bf16")
    parser.add_argument("--modes", type=words, default=list(TITLES))
    parser.add_argument("--names", type=words, default=[n for n in networks.NETWORKS if n != "tiny"])
    parser.add_argument("--limit", type=float, default=420)
    parser.add_argument("--tvc", default=HERE.parent / "build" / "tvc")
    parser.add_argument("--train-tool", default=HERE.parent / "build" / "tests" / "train_tool")
    args = parser.parse_args()
    args.began = time.monotonic()
    return args


if __name__ == "__main__":
    asked = arguments()
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    run(asked) if asked.what == "run" else table(asked.networks, asked.results)
