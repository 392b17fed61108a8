#!/usr/bin/env python3
"""Training beside PyTorch: same machine, same run, in turn, same number of threads.

Steps: all weights trained, SGD with momentum, batches in memory; PyTorch in its default and its
channels_last layout. Each takes its turn in a process of its own, ROUNDS times; the least of a
process's steps counts, and the median over the rounds of PyTorch's time by tvc's is the ratio. CPU
seconds say the same where other work keeps the machine busy.

Head: photographs on disk, a frozen backbone, a new last layer; PyTorch decodes with a DataLoader and
runs the backbone without gradients. An epoch has its validation in it. The first one, and the mean of
the later ones, for which tvc keeps the features. Each run has a cache of its own, so that no features of
an earlier one are found; what comes before the first epoch (compiling, PyTorch's import) is in no figure.

    .venv/bin/python bench/training.py [--steps resnet18:8,...] [--heads resnet50,...] [--threads 1,2]

Prints a table and writes bench/results/CPU-training.json and .md.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TORCH = str(HERE / "training_torch.py")

STEPS, EPOCHS, PHOTOS = 3, 6, {"train": 64, "val": 32}
LAYOUTS = ["torch", "torch channels_last"]


def torch_side(*words):
    return subprocess.run([sys.executable, TORCH, *words], check=True, stdout=subprocess.PIPE, text=True).stdout


# ---- full steps ----
def run(command):
    """Least wall and CPU seconds of the steps but the first, and the process's peak memory in MB."""
    p = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    lines = {line.split()[0]: line.split()[1:] for line in p.stdout.read().splitlines() if line.split()}
    status, usage = os.wait4(p.pid, 0)[1:]
    if status:
        raise RuntimeError(f"{command[0]}: status {status}")
    return [min(map(float, lines[key][1:])) for key in ("seconds", "cpu")] + [usage.ru_maxrss / 1024]


def compare_steps(args, name, batch, threads):
    with tempfile.TemporaryDirectory() as folder:
        torch_side("prepare", name, str(batch), folder)      # in a process of its own, as a child begins as large as its parent
        again = [sys.executable, TORCH, "steps", name, str(batch), str(threads), str(STEPS)]
        ways = {"tvc": [args.train_tool, f"{folder}/m.onnx", str(batch), str(STEPS), folder, f"{folder}/out", "bn=train", "lr=0.01",
                        "momentum=0.9", f"threads={threads}", "profile=2"]}
        ways.update({layout: again + [str(k)] for k, layout in enumerate(LAYOUTS)})
        found = {way: [] for way in ways}
        for _ in range(args.rounds):
            for way, command in ways.items():
                found[way].append(run(command))
    row = {"model": name, "batch": batch, "threads": threads, "rounds": args.rounds}
    for way, results in found.items():
        ratios = [[r[i] / t[i] for r, t in zip(results, found["tvc"])] for i in range(2)]
        row[way] = {"ms": 1e3 * statistics.median(r[0] for r in results), "cpu_ms": 1e3 * statistics.median(r[1] for r in results),
                    "peak_mb": max(r[2] for r in results), "ratio": statistics.median(ratios[0]), "cpu_ratio": statistics.median(ratios[1])}
    return row


# ---- a new head ----
def photographs(folder):
    """Two classes of noise at several scales: as large as photographs, when compressed and when not."""
    import numpy as np
    from PIL import Image
    draw = np.random.default_rng(0)
    for part, count in PHOTOS.items():
        for i in range(count):
            layers = [Image.fromarray(draw.integers(0, 256, (h, w, 3), np.uint8)).resize((500, 375), Image.BICUBIC)
                      for h, w in ((4, 5), (30, 40), (125, 160))]
            path = Path(folder) / part / ("even", "odd")[i % 2] / f"{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.mean([np.asarray(p) for p in layers], 0).astype(np.uint8)).save(path, quality=90)


def tvc_epochs(args, model, photos, threads, folder):
    subprocess.run([args.tvc, "train", model, photos, "-o", f"{folder}/mine.onnx", "--run-dir", f"{folder}/run", "--epochs", str(EPOCHS),
                    "--batch", "32", "--threads", str(threads), "--workers", str(threads), "--preset", "imagenet", "--json"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ, TVC_CACHE=f"{folder}/cache"))
    ends = [json.loads(line)["seconds"] for line in open(f"{folder}/run/metrics.jsonl")]
    return ends[0], (ends[-1] - ends[0]) / (EPOCHS - 1)


def torch_epochs(name, photos, threads):
    seconds = [float(s) for s in torch_side("head", name, photos, str(threads)).split()]
    return seconds[0], statistics.mean(seconds[1:])


def compare_heads(args, name, threads, photos):
    model, pairs = str(args.cache / f"{name}.onnx"), []
    if not os.path.exists(model):
        subprocess.run([sys.executable, "-c", "import sys, models; models.model(*sys.argv[1:])", name, str(args.cache)], check=True, cwd=HERE)
    for _ in range(args.rounds):
        with tempfile.TemporaryDirectory() as folder:
            pairs.append((tvc_epochs(args, model, photos, threads, folder), torch_epochs(name, photos, threads)))
    middle = [[statistics.median(p[who][i] for p in pairs) for i in range(2)] for who in range(2)]
    # PyTorch does the same work in every epoch.
    ratio = [statistics.median(min(p[1]) / max(p[0][i], 1e-3) for p in pairs) for i in range(2)]
    return {"model": name, "batch": 32, "threads": threads, "rounds": args.rounds, "images": sum(PHOTOS.values()),
            "tvc_first_s": middle[0][0], "tvc_later_s": middle[0][1], "torch_first_s": middle[1][0], "torch_later_s": middle[1][1],
            "first_ratio": ratio[0], "later_ratio": ratio[1]}


# ---- results ----
def markdown(here, steps, heads):
    lines = [f"{here['cpu']} ({here['cpus']} CPUs, {here['isa']}), PyTorch {here['torch']}, {here['date']}. Ratios: PyTorch's time by tvc's, "
             "median of rounds; above 1, tvc is faster.", ""]
    if steps:
        lines += ["| full step | batch | threads | default layout | its CPU time | channels_last | its CPU time | tvc ms | PyTorch ms | tvc MB | PyTorch MB |",
                  "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"]
    for r in steps:
        t, a, b = (r[k] for k in ["tvc"] + LAYOUTS)
        lines.append(f"| {r['model']} | {r['batch']} | {r['threads']} | **{a['ratio']:.2f}** | {a['cpu_ratio']:.2f} | {b['ratio']:.2f} | {b['cpu_ratio']:.2f} "
                     f"| {t['ms']:.0f} | {a['ms']:.0f} | {t['peak_mb']:.0f} | {min(a['peak_mb'], b['peak_mb']):.0f} |")
    if heads:
        lines += ["", "| new head, frozen backbone | batch | threads | first epoch | later epochs | tvc s | later | PyTorch s |", "|---|--:|--:|--:|--:|--:|--:|--:|"]
    for r in heads:
        lines.append("| {model} | {batch} | {threads} | **{first_ratio:.2f}** | **{later_ratio:.0f}** | {tvc_first_s:.2f} | {tvc_later_s:.4f} "
                     "| {torch_later_s:.2f} |".format(**r))
    return "\n".join(lines) + "\n"


def write_results(folder, here, steps, heads):
    stem = str(folder / (here["file"] + "-training"))
    Path(stem + ".json").write_text(json.dumps({"host": here, "steps": steps, "heads": heads}, indent=1) + "\n")
    Path(stem + ".md").write_text(markdown(here, steps, heads))
    return stem


def arguments():
    def pairs(text):
        return [(name, int(batch)) for name, batch in (word.split(":") for word in text.split(",") if word)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tvc", default=str(HERE.parent / "build" / "tvc"))
    parser.add_argument("--train-tool", default=str(HERE.parent / "build" / "tests" / "train_tool"))
    parser.add_argument("--steps", default="resnet18:8,resnet18:32,resnet50:32,mobilenet_v2:32,resnet20:64", type=pairs)
    parser.add_argument("--heads", default="resnet50,mobilenet_v2", type=lambda s: [n for n in s.split(",") if n])
    parser.add_argument("--threads", default=[1, 2], type=lambda s: [int(n) for n in s.split(",")])
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--cache", default=HERE / "cache", type=Path, help="folder for the models' files")
    parser.add_argument("--results", default=HERE / "results", type=Path)
    return parser.parse_args()


def main():
    import host
    args, here, steps, heads = arguments(), host.machine(), [], []
    here["torch"] = torch_side("version").strip()
    args.results.mkdir(parents=True, exist_ok=True)
    for name, batch in args.steps:
        for threads in args.threads:
            steps.append(compare_steps(args, name, batch, threads))
            print(markdown(here, steps[-1:], []).splitlines()[-1], file=sys.stderr, flush=True)
            write_results(args.results, here, steps, heads)
    with tempfile.TemporaryDirectory() as photos:
        photographs(photos)
        for name in args.heads:
            for threads in args.threads:
                heads.append(compare_heads(args, name, threads, photos))
                print(markdown(here, [], heads[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    print(markdown(here, steps, heads))
    print(f"written: {write_results(args.results, here, steps, heads)}.json, .md", file=sys.stderr)


if __name__ == "__main__":
    main()
