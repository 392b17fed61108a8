"""Movement and indexing operators against ONNX Runtime: random models of one node each, in old and
new opsets, their numbers as initializers or as inputs.

usage: ops_move.py build/tvc [FAMILY ...]
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
    import onnxruntime as ort
    from onnx import helper, numpy_helper

ROUNDS = 12
rng = np.random.default_rng(5)
FAR = [2**63 - 1, -2**63, 2**31 - 1, 100, -100]
families = {}


def roll(low, high):
    """A whole number, both ends included."""
    return int(rng.integers(low, high + 1))


def pick(*choices):
    return choices[roll(0, len(choices) - 1)]


def ints(values):
    return np.array(values, np.int64)


def sizes(rank, most=5):
    return [roll(1, most) for _ in range(rank)]


def data(shape, dtype=None):
    dtype = dtype or pick(np.float32, np.float32, np.int64, np.int32)
    return (rng.permutation(int(np.prod(shape))).reshape(shape) - 7).astype(dtype)


def either_sign(axis, rank):
    return axis - rank if roll(0, 1) else axis


class Case:
    """One node. Inputs may be None, absent; those in `fixed`, and some others, become initializers."""

    def __init__(self, opset, op, inputs, outputs=1, fixed=(), **attrs):
        self.opset, self.op, self.outputs, self.attrs = opset, op, outputs, attrs
        self.inputs = [None if x is None else np.asarray(x) for x in inputs]
        self.fixed = set(fixed) | {i for i in range(1, len(inputs)) if roll(0, 1)}

    def model(self):
        names = [f"x{i}" if x is not None else "" for i, x in enumerate(self.inputs)]
        outputs = [f"y{i}" for i in range(self.outputs)]
        node = helper.make_node(self.op, names, outputs, **self.attrs)
        weights = [numpy_helper.from_array(self.inputs[i], names[i]) for i in self.fixed if self.inputs[i] is not None]
        given = [(i, x) for i, x in enumerate(self.inputs) if x is not None and i not in self.fixed]
        info = [helper.make_tensor_value_info(names[i], numpy_helper.from_array(x).data_type, x.shape)
                for i, x in given]
        graph = helper.make_graph([node], "g", info, [onnx.ValueInfoProto(name=o) for o in outputs], weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        return model, {names[i]: x for i, x in given}


def family(fn):
    families[fn.__name__] = fn
    return fn


# ---- cuts, joins, shapes ----

@family
def slices():
    shape = sizes(roll(1, 4), 7)
    axes = list(rng.permutation(len(shape))[:roll(1, len(shape))])
    limit = lambda: pick(*FAR) if roll(0, 3) == 0 else roll(-9, 9)
    starts, ends = [limit() for _ in axes], [limit() for _ in axes]
    if roll(0, 3) == 0:
        return Case(9, "Slice", [data(shape)], starts=starts, ends=ends, axes=[int(a) for a in axes])
    steps = [pick(1, 1, 2, 3, -1, -2, 100) for _ in axes]
    axes = [either_sign(int(a), len(shape)) for a in axes]
    return Case(pick(10, 13), "Slice", [data(shape), ints(starts), ints(ends), ints(axes), ints(steps)])


@family
def pads():
    mode = pick("constant", "constant", "edge", "reflect", "wrap")
    shape = [roll(2, 5) for _ in range(roll(1, 4))]
    low = -1 if mode == "constant" else 0
    amount = lambda d: roll(low, d - 1)
    if mode != "wrap" and roll(0, 3) == 0:
        return Case(9, "Pad", [data(shape, np.float32)], pads=[amount(d) for d in shape * 2], value=3.5, mode=mode)
    if roll(0, 1):
        axes = [int(a) for a in rng.permutation(len(shape))[:roll(1, len(shape))]]
        amounts = [amount(shape[a]) for a in axes * 2]
        return Case(19, "Pad", [data(shape, np.float32), ints(amounts), np.float32(2) if roll(0, 1) else None,
                                ints([either_sign(a, len(shape)) for a in axes])], mode=mode)
    x = data(shape, np.float32)
    amounts = ints([amount(d) for d in shape * 2])
    return Case(19 if mode == "wrap" else pick(11, 13), "Pad", [x, amounts, np.float32(-1)], mode=mode)


@family
def splits():
    shape = sizes(3)
    axis, parts = roll(0, 2), roll(1, 4)
    v = [roll(0, 3) for _ in range(parts)]
    if roll(0, 2) == 0:
        shape[axis] = roll(parts, 9)
        parts = min(parts, -(-shape[axis] // -(-shape[axis] // parts)))
        return Case(18, "Split", [data(shape)], outputs=parts, axis=axis, num_outputs=parts)
    shape[axis] = sum(v)
    if roll(0, 1):
        return Case(11, "Split", [data(shape, np.float32)], outputs=parts, axis=either_sign(axis, 3), split=v)
    return Case(13, "Split", [data(shape), ints(v)], outputs=parts, axis=either_sign(axis, 3))


@family
def concats():
    shape, axis, dtype = sizes(roll(1, 4)), 0, pick(np.float32, np.int64)
    axis = roll(0, len(shape) - 1)
    parts = [data(shape[:axis] + [roll(0, 3)] + shape[axis + 1:], dtype) for _ in range(roll(1, 6))]
    return Case(13, "Concat", parts, axis=either_sign(axis, len(shape)))


@family
def reshapes():
    shape = sizes(roll(1, 4))
    want = list(shape)
    if roll(0, 1):
        want = [int(np.prod(shape[:2]))] + shape[2:]
    if roll(0, 1):
        want[roll(0, len(want) - 1)] = -1
    if roll(0, 1) and want[0] == shape[0]:
        want[0] = 0
    return Case(14, "Reshape", [data(shape), ints(want)])


@family
def empties():
    return pick(Case(14, "Reshape", [data([0, 3]), ints([3, 0])], allowzero=1),
                Case(13, "Slice", [data([4]), ints([2]), ints([2])]),
                Case(13, "Concat", [data([0], np.float32), data([2], np.float32)], axis=0),
                Case(13, "Gather", [data([3]), ints([])]),
                Case(13, "Tile", [data([3]), ints([0])]), Case(13, "Expand", [data([1]), ints([0])]),
                Case(13, "Transpose", [data([0, 3])], perm=[1, 0]))


@family
def squeezes():
    shape = [pick(1, 1, 3, 2) for _ in range(roll(1, 5))]
    ones = [either_sign(i, len(shape)) for i, d in enumerate(shape) if d == 1]
    op = pick("Squeeze", "Unsqueeze", "Flatten")
    if op == "Flatten":
        return Case(13, op, [data(shape)], axis=roll(-len(shape), len(shape)))
    if op == "Unsqueeze":
        shape = shape[:3]
        axes = [either_sign(int(a), len(shape) + 2) for a in rng.permutation(len(shape) + 2)[:2]]
    else:
        axes = ones[:roll(0, len(ones))]
    if op == "Squeeze" and not axes:
        return Case(pick(11, 13), op, [data(shape)])
    return Case(13, op, [data(shape), ints(axes)]) if roll(0, 1) else Case(11, op, [data(shape)], axes=axes)


@family
def orders():
    shape = sizes(roll(1, 5))
    attrs = {"perm": [int(p) for p in rng.permutation(len(shape))]} if roll(0, 3) else {}
    return Case(13, "Transpose", [data(shape)], **attrs)


@family
def repeats():
    shape = sizes(roll(1, 4), 4)
    if roll(0, 1):
        return Case(pick(6, 13), "Tile", [data(shape, np.float32), ints([roll(1, 3) for _ in shape])])
    want = [pick(1, d) if d > 1 else roll(1, 3) for d in shape]
    return Case(13, "Expand", [data(shape), ints(([2] if roll(0, 1) else []) + want)])


@family
def blocks():
    b, n, c, h, w = roll(1, 3), roll(1, 2), roll(1, 3), roll(1, 3), roll(1, 3)
    if roll(0, 1):
        return Case(13, "SpaceToDepth", [data([n, c, h * b, w * b], np.float32)], blocksize=b)
    return Case(13, "DepthToSpace", [data([n, c * b * b, h, w], np.float32)], blocksize=b, mode=pick("DCR", "CRD"))


@family
def patches():
    rank = roll(1, 2)
    block, stride, dilation = sizes(rank, 3), sizes(rank, 2), sizes(rank, 2 if rank > 1 else 1)
    # (dilated and one-dimensional: ONNX Runtime 1.31 and the operator's formula differ)
    pad = [roll(0, 1) for _ in range(2 * rank)]
    image = [(block[d] - 1) * dilation[d] + roll(1, 4) for d in range(rank)]
    reach = [(block[d] - 1) * dilation[d] + 1 for d in range(rank)]
    places = [(image[d] + pad[d] + pad[d + rank] - reach[d]) // stride[d] + 1 for d in range(rank)]
    x = data([roll(1, 2), roll(1, 2) * int(np.prod(block)), int(np.prod(places))], np.float32)
    return Case(18, "Col2Im", [x, ints(image), ints(block)], strides=stride, dilations=dilation, pads=pad)


@family
def middles():
    shape = sizes(roll(1, 4))
    axes = [int(a) for a in rng.permutation(len(shape))[:roll(1, len(shape))]]
    return Case(18, "CenterCropPad", [data(shape, np.float32), ints([roll(1, 8) for _ in axes])], axes=axes)


# ---- by index ----

@family
def gathers():
    shape = sizes(roll(1, 4))
    axis = roll(0, len(shape) - 1)
    index = rng.integers(-shape[axis], shape[axis], sizes(roll(0, 3), 3)).astype(pick(np.int32, np.int64))
    return Case(13, "Gather", [data(shape), np.array(index)], axis=either_sign(axis, len(shape)))


def elements(shape, axis):
    """Indices that cover part of a tensor of that shape."""
    some = [roll(1, d) for d in shape]
    some[axis] = roll(1, shape[axis])
    return some


@family
def gathers_elements():
    shape = sizes(roll(1, 4))
    axis = roll(0, len(shape) - 1)
    index = rng.integers(-shape[axis], shape[axis], elements(shape, axis))
    return Case(13, "GatherElements", [data(shape), index], axis=either_sign(axis, len(shape)))


@family
def gathers_nd():
    shape = sizes(roll(2, 4))
    lead = roll(0, len(shape) - 1)
    depth = roll(1, len(shape) - lead)
    places = shape[:lead] + sizes(1, 3)
    index = np.stack([rng.integers(-d, d, places) for d in shape[lead:lead + depth]], -1)
    return Case(13, "GatherND", [data(shape), index], batch_dims=lead)


@family
def scatters():
    shape = sizes(roll(1, 4))
    axis, op = roll(0, len(shape) - 1), pick("Scatter", "ScatterElements", "ScatterElements")
    how = pick("none", "add", "mul", "max", "min")
    some = elements(shape, axis)
    if op == "Scatter" or how == "none":           # where a place is named twice the answer is open
        index = np.apply_along_axis(lambda _: rng.permutation(shape[axis])[:some[axis]], axis, np.zeros(some))
        attrs = {}
    else:
        index, attrs = rng.integers(-shape[axis], shape[axis], some), {"reduction": how}
    opset = 9 if op == "Scatter" else 18
    inputs = [data(shape, np.float32), index.astype(np.int64), data(some, np.float32)]
    return Case(opset, op, inputs, axis=axis, **attrs)


@family
def scatters_nd():
    shape = sizes(roll(1, 4))
    depth, how = roll(1, len(shape)), pick("none", "add", "mul", "max", "min")
    count = roll(1, 3) if how != "none" else 1
    index = np.stack([rng.integers(-d, d, [count]) for d in shape[:depth]], -1)
    update = data([count] + shape[depth:], np.float32)
    return Case(18, "ScatterND", [data(shape, np.float32), index, update], reduction=how)


@family
def ones_hot():
    shape, depth = sizes(roll(1, 3)), roll(1, 5)
    index = rng.integers(-depth - 1, depth + 1, shape)
    axis = either_sign(roll(0, len(shape)), len(shape) + 1)
    return Case(11, "OneHot", [index, np.int64(depth), data([2], pick(np.float32, np.int64))], axis=axis)


@family
def triangles():
    shape = sizes(roll(2, 4))
    return Case(14, "Trilu", [data(shape), np.int64(roll(-6, 6))], upper=roll(0, 1))


@family
def tops():
    shape = sizes(roll(1, 4), 7)
    axis = roll(0, len(shape) - 1)
    k, x, at = roll(1, shape[axis]), data(shape, np.float32), either_sign(axis, len(shape))
    if roll(0, 3) == 0:
        return Case(9, "TopK", [x], outputs=2, k=k, axis=at)
    return Case(11, "TopK", [x, ints([k])], outputs=2, axis=at, largest=roll(0, 1))


@family
def backwards():
    shape, time = sizes(roll(2, 4)), roll(0, 1)
    lengths = ints(rng.integers(1, shape[time] + 1, shape[1 - time]))
    return Case(10, "ReverseSequence", [data(shape, np.float32), lengths], time_axis=time, batch_axis=1 - time)


@family
def ranges():
    if roll(0, 1):
        return Case(11, "Range", [np.int64(roll(-9, 9)), np.int64(roll(-9, 9)), np.int64(pick(1, 2, -1, -3))])
    return Case(11, "Range", [np.float32(roll(-9, 9) / 4), np.float32(roll(-9, 9)), np.float32(pick(0.5, 1.25, -0.75))])


@family
def chosen():
    shape = sizes(roll(1, 3))
    axis = roll(-1, len(shape) - 1)
    count = int(np.prod(shape)) if axis < 0 else shape[axis]
    keep = rng.integers(0, 2, roll(1, count)).astype(bool)
    return Case(11, "Compress", [data(shape), keep], fixed=[1], **({"axis": axis} if axis >= 0 else {}))


@family
def found():
    x = rng.integers(-1, 2, sizes(roll(1, 3), 4)).astype(pick(np.float32, np.int64))
    if roll(0, 2) == 0:
        return Case(13, "NonZero", [x], fixed=[0])
    attrs = {"axis": roll(0, x.ndim - 1)} if roll(0, 1) else {}
    return Case(11, "Unique", [x], outputs=4, fixed=[0], sorted=roll(0, 1), **attrs)


# ---- signals ----

@family
def waves():
    shape = sizes(2) + [roll(2, 7), pick(1, 2)]
    axis, length = roll(1, 2), roll(2, 8)
    x = rng.standard_normal(shape).astype(np.float32)
    onesided = roll(0, 1) if shape[-1] == 1 else 0
    attrs = {"inverse": 0 if onesided else roll(0, 1), "onesided": onesided}
    if roll(0, 1):
        return Case(17, "DFT", [x, np.int64(length) if roll(0, 1) else None], axis=axis, **attrs)
    return Case(20, "DFT", [x, np.int64(length) if roll(0, 1) else None, np.int64(axis)], **attrs)


@family
def frames():
    length, samples = roll(2, 6), roll(6, 20)
    window = rng.standard_normal(length).astype(np.float32) if roll(0, 1) else None
    x = rng.standard_normal([roll(1, 2), samples, 1]).astype(np.float32)
    return Case(17, "STFT", [x, np.int64(roll(1, 4)), window, np.int64(length)], onesided=roll(0, 1))


@family
def windows():
    return Case(17, pick("HannWindow", "HammingWindow", "BlackmanWindow"), [np.int64(roll(2, 20))], periodic=roll(0, 1))


# ---- running ----

def write(folder, case):
    """True if ONNX Runtime takes the model too: what it says is the expectation."""
    model, inputs = case.model()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        outputs = session.run(None, inputs)
    except Exception as e:                         # its own class of error for every kind
        return str(e).splitlines()[0]
    tests = os.path.join(folder, "test_data_set_0")
    os.makedirs(tests)
    onnx.save(model, os.path.join(folder, "model.onnx"))
    for kind, values in ("input", inputs.values()), ("output", outputs):
        for i, v in enumerate(values):
            with open(os.path.join(tests, f"{kind}_{i}.pb"), "wb") as f:
                f.write(numpy_helper.from_array(v).SerializeToString())
    return None


def main():
    tvc, only = sys.argv[1], sys.argv[2:]
    with tempfile.TemporaryDirectory() as top:
        count, missing = 0, {}
        for name, fn in families.items():
            if only and name not in only:
                continue
            for i in range(ROUNDS):
                why = write(os.path.join(top, f"{name}_{i}"), fn())
                count += why is None
                if why:
                    missing.setdefault(name, []).append(why)
        for name, why in missing.items():
            print(f"{name}: ONNX Runtime refuses {len(why)} of {ROUNDS}: {why[0][:150]}")
        if len(missing) > 3 or any(len(w) == ROUNDS for w in missing.values()):
            print("too many models without a reference")
            return 1
        print(f"{count} models of one node")
        done = subprocess.run([tvc, "verify", "--device", "eval", "--rtol", "1e-4", "--atol", "1e-5", top], timeout=280)
        return done.returncode


if __name__ == "__main__":
    sys.exit(main())
