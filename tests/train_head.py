#!/usr/bin/env python3
"""What tvc train does to a head on frozen features, replayed in float64 by PyTorch on features of ONNX Runtime.

One batch holds all examples, or is put together of several by --accumulate, so that the order of examples does not
matter: every epoch is one update, and its loss and the weights of the best epoch have to be PyTorch's. tvc lr-find is
held against the same replay and against what fastai and PyTorch Lightning say of the losses.

usage: train_head.py TVC
"""
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

TVC = sys.argv[1]
ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("TVC_TEST_DATA", ROOT.parent / "shared" / "data"))
CIFAR = DATA / "datasets" / "cifar10_jpg_subset"
MODEL = DATA / "models" / "resnet20_cifar10" / "model.onnx"
SIZES = (30, 21, 14, 19)
PREPARE = "--resize 32 --crop 32 --mean 0.4914,0.4822,0.4465 --std 0.2023,0.1994,0.2010".split()
try:
    import numpy as np
    import onnx
    import onnxruntime
    import torch
    from onnx import numpy_helper
    from PIL import Image
except ImportError as missing:
    print("skipped:", missing.name, "is not installed")
    sys.exit(77)
if not CIFAR.is_dir():
    print("skipped:", DATA, "has no data sets")
    sys.exit(77)
warnings.simplefilter("ignore")
torch.set_default_dtype(torch.float64)


def tvc(*words, code=0):
    done = subprocess.run([TVC, *map(str, words)], capture_output=True, text=True, timeout=600)
    if done.returncode != code:
        sys.exit(f"tvc {' '.join(map(str, words))}: exit {done.returncode} instead of {code}\n{done.stderr}")
    return done.stdout


class Photos:
    """CIFAR pictures, of some classes more than of others, and what the frozen part makes of them."""

    def __init__(self, folder):
        self.folder, self.x, self.y, self.name = folder / "photos", {}, {}, {}
        tvc("edit", MODEL, "--replace-head", len(SIZES), "-o", folder / "head.onnx", "-q")
        head = onnx.load(str(folder / "head.onnx")).graph
        last = [n for n in head.node if n.op_type == "Gemm"][-1]
        self.names = last.input[1], last.input[2]
        start = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in head.initializer}
        self.w, self.b = (torch.tensor(start[n]) for n in self.names)
        tvc("edit", MODEL, "--cut", last.input[0], "-o", folder / "cut.onnx", "-q")
        session = onnxruntime.InferenceSession(str(folder / "cut.onnx"))
        mean, std = (np.array(eval(PREPARE[i]), np.float32) for i in (5, 7))
        for split, source in (("train", "train"), ("val", "test")):
            x, y, names = [], [], []
            for k, kind in enumerate(sorted(p for p in (CIFAR / source).iterdir() if p.is_dir())[:len(SIZES)]):
                to = self.folder / split / kind.name
                to.mkdir(parents=True)
                for picture in sorted(kind.iterdir())[:SIZES[k]]:
                    shutil.copy(picture, to)
                    x.append(((np.asarray(Image.open(picture), np.float32) / 255 - mean) / std).transpose(2, 0, 1))
                    y.append(k), names.append(f"{split}/{kind.name}/{picture.name}")
            got = session.run(None, {session.get_inputs()[0].name: np.stack(x).astype(np.float32)})[0]
            self.x[split] = torch.tensor(got.reshape(len(y), -1).astype(np.float64))
            self.y[split], self.name[split] = torch.tensor(y), names


def smooth(losses, keep=0.98):
    mean, out = 0.0, []
    for i, v in enumerate(losses):
        mean = keep * mean + (1 - keep) * v
        out.append(mean / (1 - keep ** (i + 1)))
    return out


def fastai_valley(rates, losses):
    n, top, first = len(losses), 0, 0
    fall = [1] * n
    for i in range(1, n):
        for j in range(i):
            if losses[i] < losses[j] and fall[i] < fall[j] + 1:
                fall[i] = fall[j] + 1
            if fall[top] < fall[i]:
                top, first = i, i - fall[i]
    first = max(first, 0)
    third = (top - first) / 3
    return rates[first + int(third) + int(third / 2)]


def close(a, b, what, rel=1e-5):
    a, b = np.asarray(a, float), np.asarray(b, float)
    far = np.abs(a - b).max() / max(np.abs(b).max(), 1e-9)
    if not far <= rel:
        sys.exit(f"{what}: tvc {a.ravel()[:6]}, PyTorch {b.ravel()[:6]}: {far:.2e} apart")
    return far


class Replay:
    def __init__(self, photos, **of):
        self.p, self.of = photos, of
        self.w, self.b = photos.w.clone().requires_grad_(), photos.b.clone().requires_grad_()

    def optimizer(self):
        rest = {k: self.of[k] for k in ("weight_decay",) if k in self.of}
        bias = {"params": [self.b], "lr": self.of.get("bias_lr", self.of["lr"])}
        kind = getattr(torch.optim, self.of.get("optimizer", "SGD"))
        if kind is torch.optim.SGD:
            rest["momentum"] = self.of.get("momentum", 0)
        return kind([{"params": [self.w]}, bias], lr=self.of["lr"], **rest)

    def loss(self, split):
        z, y = self.p.x[split] @ self.w.T + self.b, self.of.get("targets", self.p.y)[split]
        kind = self.of.get("loss", "cross-entropy")
        if kind == "bce":
            return torch.nn.functional.binary_cross_entropy_with_logits(z, y)
        if kind == "mse":
            return torch.nn.functional.mse_loss(z, y)
        return torch.nn.functional.cross_entropy(z, y, weight=self.of.get("weights"), label_smoothing=self.of.get("smoothing", 0))

    def run(self, epochs):
        """Per epoch: loss before the update, validation loss after it, weights to be exported."""
        optimizer, rows, average = self.optimizer(), [], None
        schedule = self.of["schedule"](optimizer) if "schedule" in self.of else None
        for _ in range(epochs):
            optimizer.zero_grad()
            loss = self.loss("train")
            loss.backward()
            if "clip" in self.of:
                torch.nn.utils.clip_grad_norm_([self.w, self.b], self.of["clip"])
            optimizer.step()
            if schedule:
                schedule.step()
            with torch.no_grad():
                now = [self.w.clone(), self.b.clone()]
                if "ema" in self.of:
                    keep = self.of["ema"]
                    old = average or [self.p.w, self.p.b]
                    average = [o * keep + n * (1 - keep) for o, n in zip(old, now)]
                    self.w.data, self.b.data = average
                val = self.loss("val").item()
                exported = [self.w.clone(), self.b.clone()]
                self.w.data, self.b.data = now
                rows.append((loss.item(), val, exported))
        return rows


def compare(photos, tmp, what, flags, source=None, epochs=7, **of):
    out = tmp / f"{what}.onnx"
    said = json.loads(tvc("train", MODEL, source or photos.folder, *PREPARE, "--batch", 1000, "--epochs", epochs, "--optimizer", "sgd",
                          "--momentum", 0, "--weight-decay", 0, "--schedule", "constant", "--lr", of.get("lr", 0.1), *flags, "-o", out,
                          "--json", "-q"))
    of.setdefault("lr", 0.1)
    rows = [json.loads(line) for line in (tmp / f"{what}.run" / "metrics.jsonl").read_text().splitlines()]
    want = Replay(photos, **of).run(epochs)
    far = close([r["train_loss"] for r in rows], [w[0] for w in want], what + ": training losses")
    close([r["val_loss"] for r in rows], [w[1] for w in want], what + ": validation losses")
    got = {t.name: numpy_helper.to_array(t) for t in onnx.load(str(out)).graph.initializer}
    for name, value in zip(photos.names, want[said["best_epoch"] - 1][2]):
        close(got[name], value.numpy(), f"{what}: {name}")
    print(f"{what:32s} {far:.1e}")


def schedules(photos, tmp):
    s = torch.optim.lr_scheduler
    compare(photos, tmp, "constant", [])
    compare(photos, tmp, "cosine", ["--schedule", "cosine"], schedule=lambda o: s.CosineAnnealingLR(o, 7))
    compare(photos, tmp, "step", ["--schedule", "step:2,0.5"], schedule=lambda o: s.StepLR(o, 2, 0.5))
    compare(photos, tmp, "formula", ["--schedule", "formula:0.8^epoch"], schedule=lambda o: s.LambdaLR(o, lambda e: 0.8 ** e))
    warm = lambda o: s.SequentialLR(o, [s.LinearLR(o, 0.01, 1, 3), s.ExponentialLR(o, 0.7)], [3])
    compare(photos, tmp, "warmup", ["--warmup-epochs", 3, "--schedule", "exponential:0.7"], schedule=warm)
    compare(photos, tmp, "one-cycle", ["--schedule", "one-cycle", "--momentum", 0.9], momentum=0.9, epochs=10,
            schedule=lambda o: s.OneCycleLR(o, 0.1, total_steps=10))


def losses(photos, tmp):
    weights = torch.tensor([1, 2, 0.5, 3.0])
    counts = torch.bincount(photos.y["train"]).double()
    compare(photos, tmp, "smoothing", ["--label-smoothing", 0.1], smoothing=0.1)
    compare(photos, tmp, "weights", ["--class-weights", "1,2,0.5,3"], weights=weights)
    compare(photos, tmp, "weights_smoothing", ["--class-weights", "1,2,0.5,3", "--label-smoothing", 0.2], weights=weights, smoothing=0.2)
    compare(photos, tmp, "weights_auto", ["--class-weights", "auto"], weights=len(photos.y["train"]) / (len(SIZES) * counts))
    rng = np.random.default_rng(3)
    labels = {k: rng.integers(0, 2, (len(v), 4)) for k, v in photos.y.items()}
    with open(photos.folder / "labels.csv", "w") as f:
        f.write("path,label,split\n")
        for split, rows in labels.items():
            for name, row in zip(photos.name[split], rows):
                f.write(f'{name},"{";".join(f"tag{i}" for i in np.flatnonzero(row))}",{split}\n')
    compare(photos, tmp, "bce", ["--loss", "bce"], source=photos.folder / "labels.csv", loss="bce",
            targets={k: torch.tensor(v).double() for k, v in labels.items()})
    numbers = {k: rng.normal(size=(len(v), 4)).round(3) for k, v in photos.y.items()}
    with open(photos.folder / "numbers.jsonl", "w") as f:
        for split, rows in numbers.items():
            for name, row in zip(photos.name[split], rows):
                f.write(json.dumps({"path": name, "label": list(row), "split": split}) + "\n")
    compare(photos, tmp, "mse", ["--loss", "mse", "--lr", 0.05], source=photos.folder / "numbers.jsonl", loss="mse", lr=0.05,
            targets={k: torch.tensor(v) for k, v in numbers.items()})


def updates(photos, tmp):
    bias = photos.names[1]
    compare(photos, tmp, "group", ["--group", f"{bias}:lr=0.5"], bias_lr=0.5)
    compare(photos, tmp, "clip", ["--clip", 0.3], clip=0.3)
    compare(photos, tmp, "ema", ["--ema", 0.7, "--momentum", 0.9], ema=0.7, momentum=0.9)
    compare(photos, tmp, "adamw", ["--optimizer", "adamw", "--lr", 0.01, "--weight-decay", 0.1], optimizer="AdamW", lr=0.01, weight_decay=0.1)
    # 84 examples in batches of 8: the last of 4. A group is the whole epoch, so that its order does not matter.
    weights = torch.tensor([1, 2, 0.5, 3.0])
    compare(photos, tmp, "accumulate", ["--batch", 8, "--accumulate", 100, "--clip", 0.3, "--momentum", 0.9], clip=0.3, momentum=0.9)
    compare(photos, tmp, "accumulate_weights", ["--batch", 8, "--accumulate", 11, "--class-weights", "1,2,0.5,3"], weights=weights)
    compare(photos, tmp, "accumulate_adam", ["--batch", 8, "--accumulate", 11, "--optimizer", "adam", "--lr", 0.01, "--ema", 0.5],
            optimizer="Adam", lr=0.01, ema=0.5)


def accumulated(photos, tmp):
    """Groups that end within an epoch, the last one short: as batches of three times the size."""
    words = ["train", MODEL, photos.folder, *PREPARE, "--epochs", 4, "--optimizer", "adam", "--schedule", "one-cycle", "--lr", 0.01, "-q", "-o"]
    tvc(*words, tmp / "large.onnx", "--batch", 24)
    tvc(*words, tmp / "parts.onnx", "--batch", 8, "--accumulate", 3)
    a, b = ({t.name: numpy_helper.to_array(t) for t in onnx.load(str(tmp / f"{n}.onnx")).graph.initializer} for n in ("parts", "large"))
    print("groups", max(close(a[n], b[n], n, 1e-5) for n in photos.names))


def init(photos, tmp):
    common = [photos.folder, *PREPARE, "--batch", 1000, "--schedule", "constant", "--optimizer", "sgd", "--momentum", 0, "--weight-decay", 0,
              "--lr", 0.1, "-q", "-o"]
    tvc("train", MODEL, *common, tmp / "first.onnx", "--epochs", 3)
    tvc("train", MODEL, *common, tmp / "second.onnx", "--epochs", 3, "--init", tmp / "first.onnx")
    rows = [json.loads(line)["train_loss"] for n in ("first", "second") for line in (tmp / f"{n}.run/metrics.jsonl").read_text().splitlines()]
    best = [json.loads(line)["val_top1"] for line in (tmp / "first.run/metrics.jsonl").read_text().splitlines()]
    want = [w[0] for w in Replay(photos, lr=0.1).run(6)]
    start = 1 + max(range(3), key=lambda i: best[i])       # the file holds the best epoch
    close(rows[3:], want[start:start + 3], "losses after --init", 1e-3)
    said = subprocess.run([TVC, "train", MODEL, *map(str, common), str(tmp / "x.onnx"), "--head-hidden", "16", "--init", str(tmp / "first.onnx")],
                          capture_output=True, text=True)
    assert said.returncode == 3 and photos.names[0] in said.stderr and "f32 4x16" in said.stderr, said.stderr
    print("init")


def lr_find(photos, tmp):
    r = json.loads(tvc("lr-find", MODEL, photos.folder, *PREPARE, "--batch", 1000, "--optimizer", "sgd", "--momentum", 0, "--weight-decay", 0,
                       "--from", 1e-4, "--to", 1e4, "--steps", 60, "--json", "-q"))
    n = len(r["rates"])
    assert r["diverged"] and 20 < n < 60
    close(r["rates"], [1e-4 * 10 ** (8 * i / 59) for i in range(n)], "rates", 1e-8)
    replay = Replay(photos, lr=1)
    optimizer, losses = replay.optimizer(), []
    for rate in r["rates"]:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss = replay.loss("train")
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    calm = next(i for i, rate in enumerate(r["rates"]) if rate > 1)
    close(r["losses"][:calm], losses[:calm], "losses of the range test", 1e-4)
    smoothed = smooth(r["losses"])
    close(r["smoothed"], smoothed, "smoothed losses", 1e-8)
    over = [v > 4 * min(smoothed[:i + 1]) for i, v in enumerate(smoothed)]
    assert over[-1] and not any(over[:-1]), "stopped at another place"
    rates, inner = r["rates"][6:-5], smoothed[6:-5]
    assert math.isclose(r["valley"], fastai_valley(rates, inner)), (r["valley"], fastai_valley(rates, inner))
    slopes = [(inner[i + 1] - inner[i]) / math.log(rates[i + 1] / rates[i]) for i in range(len(rates) - 1)]
    assert r["steepest"] == rates[int(np.argmin(slopes))] and r["least"] == rates[int(np.argmin(inner))]
    print("lr-find", r["suggestion"])


with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    photos = Photos(folder)
    for subject in (schedules, losses, updates, accumulated, init, lr_find):
        subject(photos, folder)
