"""The batch that a file writes as 1 is free: transformers of torchvision's families, exported with a fixed and with a
free batch, compiled for three pictures at once, against ONNX Runtime one by one; what --free-batch writes, likewise.

usage: batch.py TVC
Skipped (exit 77) without torch, torchvision and onnxruntime.
"""
import os
import subprocess
import sys
import tempfile
import warnings

from checks import check, exit_checks, needed

with needed():
    import numpy as np
    import onnx
    import onnxruntime
    import torch
    import torchvision
    from onnx import TensorProto, helper, numpy_helper


warnings.simplefilter("ignore")
TVC = os.path.abspath(sys.argv[1])
PICTURES = 3


def small_vit():
    net = torchvision.models.VisionTransformer(image_size=32, patch_size=8, num_layers=2, num_heads=4, hidden_dim=32,
                                               mlp_dim=64, num_classes=10)
    torch.nn.init.normal_(net.heads.head.weight, 0, 0.1)     # torchvision leaves it at zero
    return net, 32


def small_swin():
    return torchvision.models.SwinTransformer(patch_size=[4, 4], embed_dim=24, depths=[2, 2], num_heads=[2, 4],
                                              window_size=[4, 4], stochastic_depth_prob=0.0, num_classes=10), 64


def small_maxvit():
    return torchvision.models.MaxVit(input_size=(32, 32), stem_channels=8, partition_size=4, block_channels=[8, 16],
                                     block_layers=[1, 1], head_dim=4, stochastic_depth_prob=0.0, num_classes=10), 32


def export(net, side, path, free):
    axes = {"dynamic_axes": {"x": {0: "N"}, "y": {0: "N"}}} if free else {}
    torch.onnx.export(net, torch.randn(1, 3, side, side), path, opset_version=14, input_names=["x"], output_names=["y"],
                      **axes)


def reference(path, x):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def tvc(*args):
    r = subprocess.run([TVC, *map(str, args), "-q"], capture_output=True, text=True, timeout=300)
    return r.returncode, r.stderr


def answers(path, x, folder):
    np.save(f"{folder}/x.npy", x)
    code, said = tvc("run", path, "--input", f"x={folder}/x.npy", "--dump", folder)
    return (np.load(f"{folder}/y.npy"), "") if code == 0 else (None, said)


def check_network(name, net, side, folder):
    path, out = f"{folder}/net.onnx", f"{folder}/free.onnx"
    for free in (False, True):
        export(net, side, path, free)
        x = np.random.default_rng(0).standard_normal((PICTURES, 3, side, side)).astype(np.float32)
        want = np.concatenate([reference(path, x[i:i + 1]) for i in range(PICTURES)])
        what = f"{name}, batch {'free' if free else 'written as 1'}"
        got, said = answers(path, x, folder)
        check(what, got is not None and np.allclose(got, want, rtol=1e-3, atol=1e-4), said or got)
        code, said = tvc("edit", path, "--free-batch", "-o", out)
        if code == 4 and "one for all samples" in said:
            print(f"      --free-batch refuses it: {said.strip()[-100:]}")
            continue
        onnx.checker.check_model(onnx.load(out), full_check=True)
        got = reference(out, x) if code == 0 else said
        check(f"{what}, --free-batch", code == 0 and np.allclose(got, want, rtol=1e-3, atol=1e-4), got)


def check_refused(folder):
    """What mixes the samples has no free batch, which is no fault of the file."""
    nodes = [helper.make_node("Reshape", ["x", "s"], ["r"]), helper.make_node("Softmax", ["r"], ["y"], axis=0)]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [8, 1])],
                              [numpy_helper.from_array(np.array([8, 1]), "s")])
    path = f"{folder}/mixed.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), path)
    for words in (["edit", path, "--free-batch", "-o", f"{folder}/mixed_free.onnx"], ["compile", path, "--batch", 3]):
        code, said = tvc(*words)
        check(f"{words[0]} of a network that mixes samples exits 4", code == 4 and said.count("\n") == 1, said)


torch.manual_seed(0)
with tempfile.TemporaryDirectory() as tmp:
    for make in (small_vit, small_swin, small_maxvit):
        network, width = make()
        check_network(make.__name__, network.eval(), width, tmp)
    check_refused(tmp)
exit_checks()
