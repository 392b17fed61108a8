#!/usr/bin/env python3
"""`tvc new` against PyTorch: the same parameters by name and shape as torchvision's network, the same outputs with the
same weights, as many FLOPs; and weights distributed as its beginning wants.

usage: zoo.py TVC
"""
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

from checks import needed

with needed():
    import numpy as np
    import onnx
    import onnx.numpy_helper
    import onnxruntime
    import torch
    from torchvision.models import resnet

TVC = sys.argv[1]


class Small(resnet.ResNet):
    """torchvision's blocks in the paper's network for small pictures."""

    def __init__(self, n, classes, channels):
        super().__init__(resnet.BasicBlock, [n, n, n, n], num_classes=classes)
        self.inplanes = 16
        self.conv1, self.bn1 = torch.nn.Conv2d(channels, 16, 3, 1, 1, bias=False), torch.nn.BatchNorm2d(16)
        self.maxpool = self.layer4 = torch.nn.Identity()
        self.layer1 = self._make_layer(resnet.BasicBlock, 16, n)
        self.layer2 = self._make_layer(resnet.BasicBlock, 32, n, stride=2)
        self.layer3 = self._make_layer(resnet.BasicBlock, 64, n, stride=2)
        self.fc = torch.nn.Linear(64, classes)


NETS = {
    "resnet18": ([], 224, resnet.resnet18), "resnet34": (["--size", 97], 97, resnet.resnet34),
    "resnet50": (["--replace-head", 7, "--size", 64], 64, lambda: resnet.resnet50(num_classes=7)),
    "resnet8": (["--input-channels", 1, "--size", 28], 28, lambda: Small(1, 10, 1)),
    "resnet20": ([], 32, lambda: Small(3, 10, 3)), "resnet56": (["--replace-head", 100], 32, lambda: Small(9, 100, 3)),
}
PUBLISHED = {"resnet101": 44549160, "resnet152": 60192808, "resnet32": 466906, "resnet44": 661338}
# parameters: torchvision's; the paper's networks have 2752 more here, for 1x1 convolutions in two shortcuts


def tvc(*words, code=0):
    done = subprocess.run([TVC, *map(str, words)], capture_output=True, text=True, timeout=300)
    if done.returncode != code:
        sys.exit(f"tvc {' '.join(map(str, words))}: exit {done.returncode} instead of {code}\n{done.stderr}")
    return done.stdout if code == 0 else done.stderr


def weights(path):
    document = onnx.load(path)
    onnx.checker.check_model(document, full_check=True)
    return {t.name: onnx.numpy_helper.to_array(t) for t in document.graph.initializer}


def check_network(folder, name):
    options, side, make = NETS[name]
    path = folder / f"{name}.onnx"
    tvc("new", name, *options, "-o", path)
    ours, net = weights(path), make()
    theirs = {k: v for k, v in net.state_dict().items() if "num_batches" not in k}
    assert {k: v.shape for k, v in ours.items()} == {k: tuple(v.shape) for k, v in theirs.items()}, f"{name}: other parameters"
    net.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in ours.items()}, strict=False)
    net.eval()
    x = np.random.default_rng(1).standard_normal((2, theirs["conv1.weight"].shape[1], side, side), np.float32)
    with torch.no_grad():
        expected = net(torch.from_numpy(x)).numpy()
    session = onnxruntime.InferenceSession(str(path))
    error = np.abs(session.run(None, {"input": x})[0] - expected).max() / np.abs(expected).max()
    print(f"{name}: {sum(v.size for v in ours.values())} numbers, outputs differ by {error:.1e}")
    assert error < 1e-4


def check_beginning(folder):
    """Every convolution uniform with He's variance; every BatchNorm the identity; the seed decides."""
    path = [folder / f"{i}.onnx" for i in range(3)]
    for p, seed in zip(path, (0, 0, 1)):
        tvc("new", "resnet18", "--seed", seed, "-o", p)
    assert path[0].read_bytes() == path[1].read_bytes() != path[2].read_bytes(), "the seed does not decide"
    for name, w in weights(path[0]).items():
        if w.ndim == 4:
            wanted, n = math.sqrt(2 / (w.shape[0] * w.shape[2] * w.shape[3])), w.size
            assert abs(w.std() / wanted - 1) < 4 / math.sqrt(n), f"{name}: standard deviation {w.std()}, not {wanted}"
            assert abs(w.mean()) < 4 * wanted / math.sqrt(n) and np.abs(w).max() <= wanted * math.sqrt(3) * 1.000001, name
        elif w.ndim == 1 and name != "fc.bias":
            assert (w == (1 if name.endswith(("running_var", "weight")) else 0)).all(), name


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for net in NETS:
            check_network(folder, net)
        for net, count in PUBLISHED.items():
            tvc("new", net, "-o", folder / "count.onnx")
            known = json.loads(tvc("inspect", folder / "count.onnx", "--json"))
            assert known["parameters"] == count, f"{net}: {known['parameters']} parameters, not {count}"
        check_beginning(folder)
        assert "resnet152" in tvc("new", "resnet19", "-o", folder / "x.onnx", code=2)
        assert "side" in tvc("new", "resnet18", "--size", 31, "-o", folder / "x.onnx", code=2)
        assert "-o" in tvc("new", "resnet18", code=2)


if __name__ == "__main__":
    main()
