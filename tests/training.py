"""What the tests of training share: a model as torch exports it for training, and build/tests/train_tool run on it."""
import os
import subprocess
import warnings

import numpy as np
import onnx
import onnx.numpy_helper
import torch

warnings.simplefilter("ignore")
TYPES = {"f32": np.float32, "f64": np.float64, "i64": np.int64}


def export(net, x, path):
    """`net` in training form, parameters under torch's names. Tracing moves running statistics: they are put back."""
    net.train()
    state = {k: v.clone() for k, v in net.state_dict().items()}
    torch.onnx.export(net, x, path, training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False, opset_version=13,
                      input_names=["x"], dynamic_axes={"x": {0: "N"}})
    net.load_state_dict(state)
    document = onnx.load(path)
    for t in document.graph.initializer:
        if t.name in state:
            t.CopyFrom(onnx.numpy_helper.from_array(state[t.name].numpy(), t.name))
    onnx.save(document, path)


def step(tool, model, folder, x, target, batch, steps=1, **options):
    """Everything the tool reports after `steps` steps: {name: array}, loss included."""
    np.save(os.path.join(folder, "x.npy"), np.ascontiguousarray(x))
    np.save(os.path.join(folder, "target.npy"), np.ascontiguousarray(target))
    out = os.path.join(folder, "out.bin")
    words = [f"{k}={v}" for k, v in options.items()]
    p = subprocess.run([tool, model, str(batch), str(steps), folder, out, *words], capture_output=True, text=True)
    if p.returncode:
        raise RuntimeError(f"train_tool: {p.returncode} {p.stderr.strip()[-400:]}")
    found = {}
    with open(out, "rb") as f:
        while line := f.readline():
            count, kind, name = line.decode().rstrip("\n").split(" ", 2)
            found[name] = np.frombuffer(f.read(int(count)), TYPES[kind])
    return found
