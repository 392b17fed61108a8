#!/usr/bin/env python3
"""Images per second of tvc's loader and of PyTorch's DataLoader over torchvision, same work, in turn.

usage: loader.py build/tests/tool_loader PHOTOS [EPOCHS]
PHOTOS has train/CLASS/*. Each epoch of the one is followed by one of the other; medians are told.
"""
import statistics
import subprocess
import sys
import time

import torch
from torchvision import datasets, transforms as T

NORMALIZE = [T.ToTensor(), T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
WORK = {
    "none": [T.Resize(256), T.CenterCrop(224)],
    "resized-crop(0.5-1),hflip(0.5)": [T.RandomResizedCrop(224, scale=(0.5, 1)), T.RandomHorizontalFlip()],
    "resized-crop(0.08-1),hflip(0.5),jitter(0.4,0.4,0.4,0.1)": [
        T.RandomResizedCrop(224), T.RandomHorizontalFlip(), T.ColorJitter(0.4, 0.4, 0.4, 0.1)],
}
BATCH = 32


def torch_epoch(loader):
    start, n = time.perf_counter(), 0
    for x, _ in loader:
        n += x.shape[0]
    return n / (time.perf_counter() - start)


def tvc_epoch(p):
    p.stdin.write(b"\n")
    p.stdin.flush()
    seconds, n, _ = p.stdout.readline().split()
    return int(n) / float(seconds)


def main():
    tool, photos, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 5
    torch.set_num_threads(1)
    print(f"{'work':58} workers   torch  tvc  ratio  tvc cached")
    for augment, steps in WORK.items():
        data = datasets.ImageFolder(photos + "/train", T.Compose(steps + NORMALIZE))
        for workers in (1, 2):
            loader = torch.utils.data.DataLoader(data, BATCH, shuffle=True, num_workers=workers, persistent_workers=True)
            tools = [subprocess.Popen([tool, photos, augment, str(workers), str(BATCH), cache], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE) for cache in ("0", "1024")]
            rates = [(torch_epoch(loader), tvc_epoch(tools[0]), tvc_epoch(tools[1])) for _ in range(epochs + 1)][1:]
            theirs, ours, cached = (statistics.median(r) for r in zip(*rates))
            print(f"{augment:58} {workers:7} {theirs:7.1f} {ours:6.1f} {ours / theirs:5.2f}x {cached:8.1f}", flush=True)
            for p in tools:
                p.kill()                         # torch's workers have its stdin too: closing ours would not end it
                p.wait()
            del loader


if __name__ == "__main__":
    main()
