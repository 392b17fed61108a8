"""PyTorch's side of training.py, each measurement in a process of its own.

usage: training_torch.py version
       training_torch.py prepare NETWORK BATCH FOLDER
       training_torch.py steps NETWORK BATCH THREADS STEPS CHANNELS_LAST
       training_torch.py head NETWORK PHOTOS THREADS
"""
import sys
import time

import torch
import torchvision.models as zoo
from torch import nn

HEAD_EPOCHS = 2


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        self.short = nn.Identity() if same else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))) + self.short(x))


def resnet20():
    """CIFAR's: three stages of three blocks, pictures of 32 x 32."""
    widths = [16] * 4 + [32] * 3 + [64] * 3
    blocks = [Block(a, b, 1 if a == b else 2) for a, b in zip(widths, widths[1:])]
    return nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def batch_of(name, batch):
    """Pictures, labels and the network in training form, the same in every process; no Dropout, which draws at random."""
    torch.manual_seed(0)
    net = resnet20() if name == "resnet20" else getattr(zoo, name)(num_classes=1000)
    for m in net.modules():
        if isinstance(m, nn.Dropout):
            m.p = 0.0
    side, classes = (32, 10) if name == "resnet20" else (224, 1000)
    return torch.randn(batch, 3, side, side), torch.arange(batch) % classes, net.train()


def prepare(name, batch, folder):
    """What build/tests/train_tool reads: the network's file, pictures and labels."""
    import os
    import numpy as np
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests"))
    from training import export
    x, y, net = batch_of(name, int(batch))
    export(net, x[:2], os.path.join(folder, "m.onnx"))
    np.save(os.path.join(folder, "x.npy"), x.numpy())
    np.save(os.path.join(folder, "target.npy"), y.numpy())


def steps(name, batch, threads, count, last):
    torch.set_num_threads(int(threads))
    x, y, net = batch_of(name, int(batch))
    if last == "1":
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    seconds, cpu = [], []
    for _ in range(int(count)):
        began, used = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - began), cpu.append(time.process_time() - used)
    print("seconds", *seconds)
    print("cpu", *cpu)


def loader(photos, part, threads):
    from torchvision import datasets, transforms as T
    prepare = T.Compose([T.Resize(256), T.CenterCrop(224), T.ToTensor(), T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
    data = datasets.ImageFolder(f"{photos}/{part}", prepare)
    return torch.utils.data.DataLoader(data, 32, shuffle=part == "train", num_workers=threads, persistent_workers=True)


def head(name, photos, threads):
    """Seconds of each epoch: training, then validation."""
    threads = int(threads)
    torch.set_num_threads(threads)
    net = getattr(zoo, name)().eval()
    last = net.fc if name.startswith("resnet") else net.classifier[1]
    features = last.in_features
    if name.startswith("resnet"):
        net.fc = nn.Identity()
    else:
        net.classifier = nn.Identity()
    new = nn.Linear(features, 2)
    optimizer, train, val = torch.optim.Adam(new.parameters(), lr=3e-3), loader(photos, "train", threads), loader(photos, "val", threads)
    for _ in range(HEAD_EPOCHS):
        began = time.perf_counter()
        for x, y in train:
            with torch.no_grad():
                z = net(x)
            optimizer.zero_grad()
            nn.functional.cross_entropy(new(z), y).backward()
            optimizer.step()
        with torch.no_grad():
            hits = sum((new(net(x)).argmax(1) == y).sum().item() for x, y in val)
        assert hits >= 0
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    {"version": lambda: print(torch.__version__), "prepare": prepare, "steps": steps, "head": head}[sys.argv[1]](*sys.argv[2:])
