#!/usr/bin/env python3
"""Trains the small residual network of this folder and writes it as ONNX.

Needs Debian's python3-torch, python3-onnx and dataset-fashion-mnist, and nothing else.
Seven of Fashion-MNIST's ten classes are learnt; the other three are left for a later
user of the file to teach. BatchNormalization stays in the file in inference form, so
that whoever trains it further finds the statistics.

The same seed on the same machine and library gives the same bytes.
"""
import argparse
import gzip
import json
import struct
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional as F

DATA = Path("/usr/share/datasets/fashion-mnist")
NAMES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
         "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
CLASSES = [0, 1, 2, 4, 5, 6, 9]          # left out: Dress, Sneaker, Bag
MEAN, STD = 0.286, 0.353                 # of the training pictures, scaled to 0..1


def read_idx(path):
    """An array of bytes from a gzipped IDX file."""
    with gzip.open(path) as f:
        magic = f.read(4)
        shape = struct.unpack(f">{magic[3]}I", f.read(4 * magic[3]))
        return np.frombuffer(f.read(), np.uint8).reshape(shape)


def load(data, split):
    """Pictures (n, 1, 28, 28) ready for the network, and class numbers 0..6."""
    pictures = read_idx(data / f"{split}-images-idx3-ubyte.gz")
    labels = read_idx(data / f"{split}-labels-idx1-ubyte.gz")
    keep = np.isin(labels, CLASSES)
    x = torch.from_numpy(pictures[keep].astype(np.float32)).unsqueeze(1)
    y = torch.from_numpy(np.searchsorted(CLASSES, labels[keep]))
    return (x / 255 - MEAN) / STD, y


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut, projected where the shape changes."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.shortcut = nn.Identity() if cin == cout and stride == 1 else nn.Sequential(
            nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class Net(nn.Module):
    """1 x 28 x 28 to seven logits; 173 thousand parameters."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 24, 3, 2, 1, bias=False)
        self.bn = nn.BatchNorm2d(24)
        self.stage1 = Block(24, 24, 1)
        self.stage2 = Block(24, 48, 2)
        self.stage3 = Block(48, 96, 2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(96, len(CLASSES))

    def forward(self, x):
        x = F.relu(self.bn(self.stem(x)))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.fc(self.pool(x).flatten(1))


def shift_and_flip(x):
    """Moves a batch by up to 2 pixels and mirrors half of it."""
    dy, dx = torch.randint(-2, 3, (2,)).tolist()
    x = torch.roll(F.pad(x, (2, 2, 2, 2), value=-MEAN / STD), (dy, dx), (2, 3))[:, :, 2:-2, 2:-2]
    mirrored = (torch.rand(len(x)) < 0.5).view(-1, 1, 1, 1)
    return torch.where(mirrored, x.flip(3), x)


def accuracy(net, x, y):
    net.eval()
    with torch.no_grad():
        right = sum(int((net(a).argmax(1) == b).sum()) for a, b in zip(x.split(500), y.split(500)))
    return right / len(y)


def train(net, x, y, epochs, batch=128):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = epochs * (len(y) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=steps)
    for epoch in range(epochs):
        net.train()
        begun, total = time.time(), 0.0
        order = torch.randperm(len(y))[:len(y) // batch * batch]
        for rows in order.split(batch):
            loss = F.cross_entropy(net(shift_and_flip(x[rows])), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}/{epochs}: loss {total / (len(y) // batch):.4f}, "
              f"{time.time() - begun:.0f} s", flush=True)


def export(net, path):
    """Writes the network with BatchNormalization kept, any batch size, and its recipe."""
    net.eval()
    torch.onnx.export(net, torch.zeros(1, 1, 28, 28), str(path), opset_version=14,
                      training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
                      input_names=["picture"], output_names=["logits"],
                      dynamic_axes={"picture": {0: "N"}, "logits": {0: "N"}})
    model = onnx.load(str(path))
    recipe = {"version": 1, "resize": 28, "resize_mode": "shorter", "interpolation": "bilinear",
              "antialias": True, "crop": [28, 28], "crop_mode": "center", "color": "grey",
              "layout": "nchw", "scale": "1/255", "mean": [MEAN], "std": [STD], "exif": "apply"}
    onnx.helper.set_model_props(model, {
        "tvc.labels": json.dumps([NAMES[c] for c in CLASSES]),
        "tvc.preprocess": json.dumps(recipe)})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("fashion7.onnx"))
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True)

    net = Net()
    train(net, *load(args.data, "train"), args.epochs)
    print(f"test accuracy {100 * accuracy(net, *load(args.data, 't10k')):.2f} % on {len(CLASSES)} classes")
    export(net, args.out)
    print(f"{args.out}: {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
