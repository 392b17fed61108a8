#!/usr/bin/env python3
"""Times tvc against ONNX Runtime on the same machine, input and number of threads.

The two take turns: one inference of each is a pair, every pair gives one ratio, and the
median of the ratios is the result, so that whatever else the machine does hits both. Who
goes first alternates, and each turn is preceded by a rest in which the other's waiting
threads go to sleep instead of keeping a core busy (ONNX Runtime's spin for some 50 ms).
ONNX Runtime runs with its own defaults (all optimizations, sequential, spinning) but for
the number of threads.

Above 1.0, tvc is faster. Prints a table and writes bench/results/CPU.json and CPU.md.

    tools/setup.sh bench && .venv/bin/python bench/bench.py [--models resnet50,...]
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

import host
import models

HERE = Path(__file__).resolve().parent


class OnnxRuntime:
    def __init__(self, path, x, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.feed = {self.session.get_inputs()[0].name: x}

    def run(self):
        """One inference, in milliseconds."""
        begun = time.perf_counter()
        self.result = self.session.run(None, self.feed)[0]
        return 1000 * (time.perf_counter() - begun)

    def output(self):
        return self.result

    def close(self):
        del self.session


class Tvc:
    """`tvc bench --serve`: answers each line "run" with the milliseconds of one inference."""

    def __init__(self, exe, path, x, threads, folder):
        self.dump = Path(folder) / "output.npy"
        np.save(Path(folder) / "input.npy", x)
        self.process = subprocess.Popen(
            [exe, "bench", str(path), "--batch", str(len(x)), "--threads", str(threads), "--serve",
             "--input", f"input={folder}/input.npy", "--dump-output", str(self.dump)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def run(self):
        self.process.stdin.write("run\n")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"tvc bench ended with code {self.process.wait()}")
        return float(line)

    def output(self):
        return np.load(self.dump)

    def close(self):
        self.process.stdin.write("quit\n")
        self.process.wait(timeout=60)


def take_turns(tvc, ort, pairs, warmup, rest):
    """Milliseconds of each: two lists of equal length."""
    for _ in range(warmup):
        tvc.run(), ort.run()
    times = {tvc: [], ort: []}
    for k in range(pairs):
        for runner in (tvc, ort) if k % 2 == 0 else (ort, tvc):
            time.sleep(rest)
            times[runner].append(runner.run())
    return times[tvc], times[ort]


def compare(args, name, batch, threads):
    path = models.model(name, args.cache)
    x = np.random.default_rng(batch).standard_normal((batch, 3, models.SIDE, models.SIDE)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        tvc, ort = Tvc(args.tvc, path, x, threads, folder), OnnxRuntime(path, x, threads)
        mine, theirs = take_turns(tvc, ort, args.pairs, args.warmup, args.rest)
        a, b = tvc.output(), ort.output()
        tvc.close(), ort.close()
    ratios = sorted(t / m for m, t in zip(mine, theirs))
    return {"model": name, "batch": batch, "threads": threads, "ratio": statistics.median(ratios),
            "ratio_quartiles": [ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]],
            "tvc_ms": statistics.median(mine), "ort_ms": statistics.median(theirs),
            "max_error": float(np.abs(a.reshape(b.shape) - b).max()), "max_output": float(np.abs(b).max()),
            "pairs": args.pairs}


def compile_times(args, name):
    """Seconds of `tvc compile` with an empty cache, and again."""
    path = models.model(name, args.cache)
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            begun = time.perf_counter()
            subprocess.run([args.tvc, "compile", str(path)], check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, env=dict(os.environ, TVC_CACHE=folder))
            seconds.append(time.perf_counter() - begun)
    return {"model": name, "cold_s": seconds[0], "warm_s": seconds[1]}


def markdown(here, rows, compiled):
    lines = [f"{here['cpu']} ({here['cpus']} CPUs, {here['isa']}), ONNX Runtime {here['onnxruntime']}, {here['date']}. "
             "Ratio: ONNX Runtime's time by tvc's, median of pairs, and its quartiles.", "",
             "| model | batch | threads | ratio | quartiles | tvc ms | ONNX Runtime ms | largest error | of |",
             "|---|--:|--:|--:|---|--:|--:|--:|--:|"]
    for r in rows:
        lines.append("| {model} | {batch} | {threads} | **{ratio:.2f}** | {0:.2f} to {1:.2f} | {tvc_ms:.2f} | {ort_ms:.2f} "
                     "| {max_error:.1e} | {max_output:.3g} |".format(*r["ratio_quartiles"], **r))
    if compiled:
        lines += ["", "| `tvc compile` | cold s | warm s |", "|---|--:|--:|"]
        lines += [f"| {c['model']} | {c['cold_s']:.2f} | {c['warm_s']:.2f} |" for c in compiled]
    return "\n".join(lines) + "\n"


def write_results(folder, here, rows, compiled):
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / here["file"]
    stem.with_suffix(".json").write_text(
        json.dumps({"host": here, "results": rows, "compile": compiled}, indent=1) + "\n")
    stem.with_suffix(".md").write_text(markdown(here, rows, compiled))
    return stem


def arguments():
    def numbers(text):
        return [int(n) for n in text.split(",")]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tvc", default=str(HERE.parent / "build" / "tvc"))
    parser.add_argument("--models", default=models.NAMES, type=lambda s: s.split(","))
    parser.add_argument("--batches", default=[1, 8], type=numbers)
    parser.add_argument("--threads", default=[1, 2], type=numbers)
    parser.add_argument("--pairs", default=25, type=int)
    parser.add_argument("--warmup", default=3, type=int)
    parser.add_argument("--rest", default=0.1, type=float, help="seconds before each turn")
    parser.add_argument("--no-compile", action="store_true", help="leave out the times of tvc compile")
    parser.add_argument("--cache", default=HERE / "cache", type=Path, help="folder for the models' files")
    parser.add_argument("--results", default=HERE / "results", type=Path)
    return parser.parse_args()


def main():
    args = arguments()
    here, rows, compiled = dict(host.machine(), onnxruntime=onnxruntime.__version__), [], []
    for name in args.models:
        if not args.no_compile:
            compiled.append(compile_times(args, name))
        for batch in args.batches:
            for threads in args.threads:
                rows.append(compare(args, name, batch, threads))
                print("{model} batch {batch} threads {threads}: {ratio:.3f} ({tvc_ms:.2f} ms, ONNX Runtime "
                      "{ort_ms:.2f} ms)".format(**rows[-1]), file=sys.stderr, flush=True)
    stem = write_results(args.results, here, rows, compiled)
    print(markdown(here, rows, compiled))
    print(f"written: {stem}.json, {stem}.md", file=sys.stderr)


if __name__ == "__main__":
    main()
