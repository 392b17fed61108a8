"""Compiled kernels at every width, below, at and beyond a vector's: matrix products of one, few and many rows, sums
along rows, convolutions, against ONNX Runtime. One model holds them all, so that it is compiled once a target.

usage: widths.py TVC
Skipped (exit 77) without onnx and onnxruntime.
"""
import os
import subprocess
import sys
import tempfile

from checks import needed

with needed():
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

TVC = os.path.abspath(sys.argv[1])
WIDTHS = [1, 2, 3, 5, 7, 8, 9, 12, 15, 16, 17, 20, 24, 25, 31, 32, 33, 40, 47, 48, 50, 60, 63, 64, 65, 80, 96,
          100, 127, 130]
ROWS = [1, 2, 7, 14]
DEPTH, SIDE = 11, 5
rng = np.random.default_rng(5)


def network():
    """The model, and its inputs."""
    nodes, weights, feed, outputs = [], {}, {}, []

    def weight(name, *shape):
        weights[name] = rng.standard_normal(shape).astype(np.float32)
        return name

    def fed(name, *shape):
        feed[name] = rng.standard_normal(shape).astype(np.float32)
        return name

    def give(op, ins, **attrs):
        outputs.append(f"{op}_{len(outputs)}")
        nodes.append(helper.make_node(op, ins, [outputs[-1]], **attrs))

    for rows in ROWS:
        fed(f"x{rows}", rows, DEPTH)
    for w in WIDTHS:
        for rows in ROWS:
            give("Gemm", [f"x{rows}", weight(f"g{w}_{rows}", w, DEPTH), weight(f"b{w}_{rows}", w)], transB=1)
            give("MatMul", [f"x{rows}", weight(f"m{w}_{rows}", DEPTH, w)])
        give("MatMul", [fed(f"q{w}", 2, 3, DEPTH), fed(f"k{w}", 2, DEPTH, w)])
        give("Softmax", [fed(f"s{w}", 3, w)], axis=1)
        give("ReduceMean", [fed(f"r{w}", 2, 3, w)], axes=[2])
        give("Transpose", [fed(f"t{w}", 2, w, 3)], perm=[0, 2, 1])
        give("Conv", [fed(f"c{w}", 1, w, SIDE, SIDE), weight(f"cw{w}", w, w, 3, 3)], pads=[1, 1, 1, 1])
        give("Conv", [f"c{w}", weight(f"dw{w}", w, 1, 3, 3)], group=w, pads=[1, 1, 1, 1])
    graph = helper.make_graph(nodes, "widths",
                              [helper.make_tensor_value_info(n, TensorProto.FLOAT, x.shape) for n, x in feed.items()],
                              [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
                              [numpy_helper.from_array(w, n) for n, w in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), feed


def main():
    bad = 0
    model, feed = network()
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/widths.onnx"
        onnx.save(onnx.shape_inference.infer_shapes(model), path)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [o.name for o in session.get_outputs()]
        want = session.run(None, feed)
        args = []
        for name, x in feed.items():
            np.save(f"{folder}/{name}.npy", x)
            args += ["--input", f"{name}={folder}/{name}.npy"]
        for target in ("cpu", "cpu:avx2", "cpu:generic"):
            out = f"{folder}/{target[4:]}out"
            r = subprocess.run([TVC, "run", path, *args, "--dump", out, "--target", target, "-q"],
                               capture_output=True, text=True)
            if r.returncode == 7:
                print(f"{target}: not on this machine")
                continue
            wrong = ["all"] if r.returncode else [
                f"{n} {w.shape}" for n, w in zip(names, want)
                if not np.allclose(np.load(f"{out}/{n}.npy"), w, rtol=1e-4, atol=1e-4)]
            bad += len(wrong)
            print(f"{target}: {len(names)} values, {len(wrong)} wrong: {' '.join(wrong[:9])} {r.stderr}")
    return bad > 0


sys.exit(main())
