"""A file of VGG-16's size: looking at it takes little memory, since weights are used where they lie.

usage: memory.py TVC
The 553 MB of weights are holes of a sparse file. Resident memory as a whole is measured, which is more than RssAnon.
"""
import os
import subprocess
import sys
import tempfile

from onnx_bytes import FLOAT, entry, exit_, node, sparse_model

TVC = os.path.abspath(sys.argv[1])
MB = 1 << 20
MOST, SMALL = 20 * MB, f"{os.path.dirname(os.path.abspath(__file__))}/../examples/fashion/fashion7.onnx"
WIDTHS = [64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0]      # 0: a pool


def vgg():
    """The nodes, and (name, dims) of the weights."""
    nodes, weights, value, channels = [], [], "x", 3
    for i, width in enumerate(WIDTHS):
        if width == 0:
            nodes.append(node("MaxPool", [value], [f"v{i}"], kernel_shape=[2, 2], strides=[2, 2]))
        else:
            weights += [(f"w{i}", [width, channels, 3, 3]), (f"b{i}", [width])]
            nodes.append(node("Conv", [value, f"w{i}", f"b{i}"], [f"c{i}"], pads=[1, 1, 1, 1]) + node("Relu", [f"c{i}"], [f"v{i}"]))
            channels = width
        value = f"v{i}"
    nodes.append(node("Flatten", [value], ["flat"]))
    value, features = "flat", 512 * 7 * 7
    for i, width in enumerate((4096, 4096, 1000)):
        weights += [(f"fw{i}", [width, features]), (f"fb{i}", [width])]
        nodes.append(node("Gemm", [value, f"fw{i}", f"fb{i}"], [f"f{i}"], transB=1))
        if i < 2:
            nodes.append(node("Relu", [f"f{i}"], [f"r{i}"]))
        value, features = f"r{i}" if i < 2 else "f2", width
    return b"".join(nodes), weights


def write(path):
    """The model, its weights as holes; returns its size."""
    nodes, weights = vgg()
    return sparse_model(path, nodes + entry("x", FLOAT, [1, 3, 224, 224]) + exit_("f2", FLOAT, [1, 1000]), weights)


def resident(*args):
    child = subprocess.Popen([TVC, *args], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"tvc {' '.join(args)}: exit {child.returncode}")
    return used.ru_maxrss * 1024


with tempfile.TemporaryDirectory() as folder:
    bytes_ = write(f"{folder}/vgg16.onnx")
    least, most = resident("inspect", SMALL, "-q"), resident("inspect", f"{folder}/vgg16.onnx", "-q")
    print(f"{bytes_ / 1e6:.0f} MB of file: {(most - least) / MB:.1f} MB more than a file of 100 KB takes, {most / MB:.1f} MB in all")
    sys.exit(most - least > MOST or bytes_ < 550e6)
