"""The networks that gpu.py times, as PyTorch modules, and as ONNX files whose weights are drawn where they are needed: a few
hundred kilobytes in all, so that a machine with a GPU can be given them without the onnx package or a download.

usage: networks.py pack FOLDER NETWORK ...     FOLDER/NETWORK.onnx and what its weights are drawn by, FOLDER/NETWORK.json
       networks.py fill FOLDER                 FOLDER/NETWORK.weights of each, which the .onnx files refer to
"""
import collections
import json
import os
import sys
import tempfile
from pathlib import Path

CLASSES = 1000
Network = collections.namedtuple("Network", "head side")         # the last layer; pixels of a picture's side
NETWORKS = {"resnet50": Network("fc", 224), "resnet18": Network("fc", 224), "vgg16": Network("classifier.6", 224),
            "densenet121": Network("classifier", 224), "mobilenet_v2": Network("classifier.1", 224), "tiny": Network("fc", 16)}


def network(name):
    """The module. No Dropout, which draws at random."""
    import torch
    torch.manual_seed(0)
    if name == "tiny":
        n = torch.nn
        net = n.Sequential(collections.OrderedDict(
            conv=n.Conv2d(3, 8, 3, 2, 1, bias=False), bn=n.BatchNorm2d(8), relu=n.ReLU(), conv2=n.Conv2d(8, 16, 3, 2, 1, bias=False),
            bn2=n.BatchNorm2d(16), relu2=n.ReLU(), pool=n.AdaptiveAvgPool2d(1), flat=n.Flatten(), fc=n.Linear(16, CLASSES)))
    else:
        import torchvision
        net = getattr(torchvision.models, name)(**({"init_weights": False} if name == "vgg16" else {}))
    for m in net.modules():
        if isinstance(m, torch.nn.Dropout):
            m.p = 0.0
    return net


# ---- files without weights ----
def recipe(name, shape):
    """How an initializer is drawn: a constant, or normal numbers of this deviation."""
    fan_in = 1
    for d in shape[1:]:
        fan_in *= d
    if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
        return {"constant": 1.0}
    return {"deviation": (2 / fan_in) ** 0.5} if len(shape) > 1 else {"constant": 0.0}


def pack(folder, name):
    import onnx
    import torch
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    from training import export
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        whole = os.path.join(scratch, "m.onnx")
        export(network(name), torch.zeros(2, 3, NETWORKS[name].side, NETWORKS[name].side), whole)
        document = onnx.load(whole)
    rows, at = [], 0
    for t in document.graph.initializer:
        if t.data_type != onnx.TensorProto.FLOAT or not t.dims:
            continue
        count = 1
        for d in t.dims:
            count *= d
        for field in ("raw_data", "float_data"):
            t.ClearField(field)
        t.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", f"{name}.weights"), ("offset", at), ("length", 4 * count)):
            t.external_data.add(key=key, value=str(value))
        rows.append({"count": count, **recipe(t.name, list(t.dims))})
        at += 4 * count
    (folder / f"{name}.onnx").write_bytes(document.SerializeToString())
    (folder / f"{name}.json").write_text(json.dumps(rows))


def fill(folder, name):
    import numpy as np
    draw, part = np.random.default_rng(0), folder / f"{name}.weights.part"
    with open(part, "wb") as f:
        for row in json.loads((folder / f"{name}.json").read_text()):
            if "constant" in row:
                values = np.full(row["count"], row["constant"], np.float32)
            else:
                values = draw.standard_normal(row["count"], np.float32) * np.float32(row["deviation"])
            f.write(values.astype("<f4").tobytes())
    os.replace(part, folder / f"{name}.weights")


def fill_all(folder):
    for path in sorted(folder.glob("*.json")):
        if not path.with_suffix(".weights").exists():
            fill(folder, path.stem)


if __name__ == "__main__":
    if sys.argv[1] == "pack":
        for each in sys.argv[3:]:
            pack(Path(sys.argv[2]), each)
    else:
        fill_all(Path(sys.argv[2]))
