"""The networks that bench.py times: torchvision's, made here, no download.

Weights are random, but BatchNormalization has statistics that fit them (measured on random
pictures) and uneven scales, so that values stay in the range of trained networks and folding
matters. Files are written once, in evaluation form with a free batch, into a cache folder.
"""
import os
from pathlib import Path

NAMES = ["resnet50", "resnet18", "vgg16", "squeezenet1_1", "densenet121", "mobilenet_v2"]
SIDE = 224


def settle_batchnorm(net, torch):
    """Random scales and shifts, and running statistics to match."""
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for m in norms:
        torch.nn.init.uniform_(m.weight, 0.5, 1.5)
        torch.nn.init.normal_(m.bias, 0, 0.1)
        m.reset_running_stats()
        m.momentum = None                            # a plain average
    net.eval()
    for m in norms:
        m.train()
    with torch.no_grad():
        net(torch.randn(4, 3, SIDE, SIDE))


def make(name, path):
    import torch
    import torchvision
    torch.manual_seed(sum(name.encode()))
    net = getattr(torchvision.models, name)()
    settle_batchnorm(net, torch)
    net.eval()
    part = path.with_suffix(".part")
    torch.onnx.export(net, torch.zeros(1, 3, SIDE, SIDE), str(part), opset_version=13,
                      input_names=["input"], output_names=["output"],
                      dynamic_axes={"input": {0: "N"}, "output": {0: "N"}})
    os.replace(part, path)


def model(name, cache):
    """The path of a network's file, made if it is not there."""
    path = Path(cache) / f"{name}.onnx"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        print(f"making {path}", flush=True)
        make(name, path)
    return path
