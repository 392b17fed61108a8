#!/usr/bin/env python3
"""Full fine-tuning through build/tvc against a PyTorch script that does the same: ResNet-20, a new head, JPEG pictures.

  steps   the loss of each of the first 20 steps within 1e-3 of PyTorch's (measured: 2e-5); the same with frozen
          statistics, where rounding grows: at most 3 times as far from float64 as PyTorch's own float32
  seeds   validation accuracy after the whole run, mean of three seeds, at most two points below PyTorch's

Both sides start from one file (`tvc edit --replace-head`), see the same batches in the same order and change nothing
about the pictures. Everything else is done twice: PyTorch's side decodes with Pillow, and computes the order of the
pictures, the network, the loss, the optimizer and its schedule itself. A step's loss is read off the checkpoints,
which hold the sum over the epoch so far.

usage: finetune.py TVC steps|seeds
"""
import csv
import math
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from checks import needed

with needed():
    import numpy as np
    import onnx
    import onnx.numpy_helper
    import torch
    from PIL import Image
    from torch import nn
    from torch.nn import functional as F

TVC, SUBJECT = sys.argv[1], sys.argv[2]
DATA = Path(os.environ.get("TVC_TEST_DATA", Path(__file__).resolve().parent.parent.parent / "shared" / "data"))
PHOTOS = DATA / "datasets" / "cifar10_jpg_subset"
MODEL = DATA / "models" / "resnet20_cifar10" / "model.onnx"
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
BATCH, LR, MOMENTUM, DECAY = 48, 0.01, 0.9, 5e-4               # the last batch of an epoch is smaller
STEPS, CLOSE, FACTOR = 20, 1e-3, 3
EPOCHS, SEEDS, BELOW = 8, (1, 2, 3), 0.02


# ---- the order of an epoch, as data/order.c defines it ----
def philox(key, hi, lo):
    c = [lo & 0xffffffff, lo >> 32, hi & 0xffffffff, hi >> 32]
    k0, k1 = key & 0xffffffff, key >> 32
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k0, b & 0xffffffff, (a >> 32) ^ c[3] ^ k1, a & 0xffffffff]
        k0, k1 = (k0 + 0x9E3779B9) & 0xffffffff, (k1 + 0xBB67AE85) & 0xffffffff
    return c


def order(seed, epoch, n):
    """A Feistel network of six rounds over the next power of four, walked until the number is below n."""
    half = next(h for h in range(1, 33) if 1 << 2 * h >= n)
    mask, stream = (1 << half) - 1, 2 << 56 | epoch

    def mixed(i):
        left, right = i >> half, i & mask
        for r in range(6):
            left, right = right, left ^ (philox(seed, stream, right << 8 | r)[0] & mask)
        return left << half | right

    def walked(i):
        i = mixed(i)
        while i >= n:
            i = mixed(i)
        return i

    return [walked(i) for i in range(n)]


# ---- PyTorch's side ----
class Block(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout)
        self.conv2, self.bn2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False), nn.BatchNorm2d(cout)
        self.grow = (cout - cin) // 2

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.grow, self.grow)) if self.grow else x))


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        for i, (cin, cout) in enumerate(((16, 16), (16, 32), (32, 64)), 1):
            blocks = [Block(cin, cout, 1 if i == 1 else 2), Block(cout, cout, 1), Block(cout, cout, 1)]
            setattr(self, f"layer{i}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


def loaded(path):
    """The network with the weights of an ONNX file, whose names are PyTorch's; the new head is what is left over."""
    stored = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in onnx.load(str(path)).graph.initializer}
    net = ResNet20()
    state = net.state_dict()
    for name in state:
        if name in stored and stored[name].shape == state[name].shape:
            state[name] = stored[name]
        elif "num_batches" not in name:
            raise KeyError(f"{path} has no {name}; it has {sorted(stored)}")
    net.load_state_dict(state)
    return net


def pictures(split):
    kinds = sorted(p for p in (PHOTOS / split).iterdir() if p.is_dir())
    files = [(p, k) for k, kind in enumerate(kinds) for p in sorted(kind.iterdir())]
    x = np.stack([np.asarray(Image.open(p).convert("RGB"), np.float32) for p, _ in files]) / np.float32(255)
    x = (x - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.tensor([k for _, k in files])


def torch_losses(net, seed, data, epochs, steps=None, frozen=False):
    """Trains; the loss of every step."""
    x, y = data
    losses = []
    decayed = torch.optim.SGD(net.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=DECAY)
    for epoch in range(epochs):
        for group in decayed.param_groups:
            group["lr"] = LR * (1 + math.cos(math.pi * epoch / epochs)) / 2
        net.train(not frozen)
        for rows in torch.tensor(order(seed, epoch, len(y))).split(BATCH):
            loss = F.cross_entropy(net(x[rows]), y[rows])
            decayed.zero_grad()
            loss.backward()
            decayed.step()
            losses.append(loss.item())
            if len(losses) == steps:
                return losses
    return losses


def torch_accuracy(net, data):
    net.eval()
    with torch.no_grad():
        return float((net(data[0]).argmax(1) == data[1]).double().mean())


# ---- tvc's side ----
def tvc(*words):
    done = subprocess.run([TVC, *map(str, words)], capture_output=True, text=True, timeout=900)
    if done.returncode:
        sys.exit(f"tvc {' '.join(map(str, words))}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def new_head(folder, seed):
    tvc("edit", MODEL, "--replace-head", 10, "--seed", seed, "-o", folder / "start.onnx")
    return folder / "start.onnx"


def training(start, seed, out, epochs, bn):
    return ["train", start, PHOTOS, "--keep-head", "--recipe", "full", "--augment", "none", "--preset", "imagenet",
            "--resize", 32, "--crop", 32, "--batch", BATCH, "--epochs", epochs, "--optimizer", "sgd", "--lr", LR, "--momentum", MOMENTUM,
            "--weight-decay", DECAY, "--schedule", "cosine", "--bn", bn, "--seed", seed, "-q", "-o", out]


def number(path, name):
    """One float64 of a run's checkpoint: train/checkpoint.h says how it is written. Numbers come before arrays."""
    raw, at = path.read_bytes(), 16
    while True:
        length, _, rank, _ = struct.unpack_from("<4I", raw, at)
        found = raw[at + 16:at + 16 + length].decode()
        at = -(-(at + 16 + length) // 64) * 64
        if rank:
            raise KeyError(f"{path} has no {name} before {found}")
        if found == name:
            return struct.unpack_from("<d", raw, at)[0]
        at += 8


def tvc_losses(folder, start, seed, bn):
    """One run, stopped after every step."""
    sums = [0.0]
    for step in range(1, STEPS + 1):
        words = training(start, seed, folder / f"{bn}.onnx", EPOCHS, bn) if step == 1 else ["train", "--resume", folder / f"{bn}.run"]
        tvc(*words, "--stop-at", step)
        sums.append(number(folder / f"{bn}.run" / "last.ckpt", "run/train.loss"))
    return [(b - a) / BATCH for a, b in zip(sums, sums[1:])]


# ---- what is shown ----
def distance(a, b):
    return max(abs(x - y) for x, y in zip(a, b))


def steps(folder):
    """Frozen statistics let rounding grow from step to step: there PyTorch's own distance from float64 is the measure."""
    (x, y), seed = pictures("train"), 7
    start = new_head(folder, seed)
    for bn in ("train", "stats"):
        ours = tvc_losses(folder, start, seed, bn)
        theirs = torch_losses(loaded(start), seed, (x, y), EPOCHS, STEPS, bn == "stats")
        apart = distance(ours, theirs)
        print(f"BatchNorm {bn}: loss {theirs[0]:.4f} to {theirs[-1]:.4f} in {STEPS} steps; largest difference {apart:.1e}")
        assert theirs[-1] < theirs[0] - 0.5, "nothing was learnt: the comparison says nothing"
        if bn == "stats" and apart > CLOSE:
            exact = torch_losses(loaded(start).double(), seed, (x.double(), y), EPOCHS, STEPS, True)
            own, their_own = distance(ours, exact), distance(theirs, exact)
            print(f"from PyTorch in float64: {own:.1e}, PyTorch in float32: {their_own:.1e}")
            assert own <= FACTOR * their_own, list(zip(ours, theirs, exact))
        else:
            assert apart <= CLOSE, list(zip(ours, theirs))


def seeds(folder):
    train, val = pictures("train"), pictures("test")
    ours, theirs = [], []
    for seed in SEEDS:
        start, out = new_head(folder, seed), folder / f"{seed}.onnx"
        tvc(*training(start, seed, out, EPOCHS, "train"))
        with open(folder / f"{seed}.run" / "results.csv") as f:
            ours.append(float(list(csv.DictReader(f))[-1]["val_top1"]))
        net = loaded(start)
        torch_losses(net, seed, train, EPOCHS)
        theirs.append(torch_accuracy(net, val))
        print(f"seed {seed}: tvc {ours[-1]:.3f}, PyTorch {theirs[-1]:.3f}")
    mean = sum(ours) / len(ours), sum(theirs) / len(theirs)
    print(f"mean: tvc {mean[0]:.4f}, PyTorch {mean[1]:.4f}")
    assert mean[0] >= mean[1] - BELOW


if __name__ == "__main__":
    if not PHOTOS.is_dir() or not MODEL.is_file():
        print(f"skipped: {DATA} has no {PHOTOS.name} or {MODEL.parent.name}")
        sys.exit(77)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        {"steps": steps, "seeds": seeds}[SUBJECT](Path(name))
