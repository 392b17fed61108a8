"""Forms of operators for which ONNX's node cases have none: what grad_forms.py differentiates besides those.

Each is (operator, opset, inputs, attributes); an input that is None is left out. Floats are float64.
"""
import numpy as np
from onnx import TensorProto, helper

OUTPUTS = {"TopK": 2, "Split": 2, "LSTM": 3, "GRU": 2, "RNN": 2}
TYPES = {"f": TensorProto.DOUBLE, "i": TensorProto.INT64}


def draw(*shape, low=-1.0, high=1.0):
    return np.random.default_rng(sum(shape) + len(shape)).uniform(low, high, shape)


def ints(*v):
    return np.array(v, np.int64)


X, IMAGE = draw(2, 3, 4), draw(2, 4, 6, 5)


def activations():
    for approximate in "none", "tanh":
        yield "Gelu", 20, [X], dict(approximate=approximate)
    yield "Mish", 18, [X], {}
    yield "Swish", 24, [X], dict(alpha=1.3)
    yield "SwiGLU", 28, [X, draw(2, 3, 4, high=2)], {}
    yield "PRelu", 9, [IMAGE, draw(4, 1, 1)], {}


def normalisations():
    yield "GroupNormalization", 18, [IMAGE, draw(2), draw(2)], dict(num_groups=2)
    yield "GroupNormalization", 21, [IMAGE, draw(4), draw(4)], dict(num_groups=2)
    yield "RMSNormalization", 23, [X, draw(4)], dict(axis=-1)
    for p in 1, 2:
        yield "LpNormalization", 1, [X], dict(p=p, axis=1)
        yield "LpPool", 18, [IMAGE], dict(p=p, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1])
        yield "GlobalLpPool", 2, [IMAGE], dict(p=p)


def attention():
    q, k, v = draw(2, 4, 3, 8), draw(2, 2, 5, 8), draw(2, 2, 5, 6)
    yield "Attention", 23, [q, k, v], {}
    yield "Attention", 23, [q, k, v, draw(3, 5)], dict(softcap=2.0, scale=0.3)
    yield "Attention", 23, [draw(2, 5, 4, 8), draw(2, 5, 4, 8), draw(2, 5, 4, 6)], dict(is_causal=1)
    yield "Attention", 23, [draw(2, 3, 16), draw(2, 5, 8), draw(2, 5, 6)], dict(q_num_heads=4, kv_num_heads=2)
    for interleaved in 0, 1:
        yield "RotaryEmbedding", 23, [q, draw(2, 3, 4), draw(2, 3, 4)], dict(interleaved=interleaved)


def regions():
    at = np.array([[0, 0, 0, 3, 4], [1, 1, 0, 4, 3], [1, 2, 2, 7, 6]], np.float64)
    offsets = draw(1, 12, 3, 3, high=0.4)
    yield "DeformConv", 19, [draw(1, 2, 5, 4), draw(3, 2, 3, 2), offsets, draw(3), draw(1, 6, 3, 3)], {}
    yield "MaxRoiPool", 1, [IMAGE, at], dict(pooled_shape=[2, 3], spatial_scale=1.0)
    for mode in "avg", "max":
        for opset, samples in (10, 2), (16, 0):
            size = dict(output_height=2, output_width=3, sampling_ratio=samples)
            yield "RoiAlign", opset, [IMAGE + 1, at[:, 1:], ints(0, 1, 1)], dict(mode=mode, **size)
    for mode in "nearest", "bilinear", "bicubic":
        for padding in "zeros", "border", "reflection":
            how = dict(mode=mode, padding_mode=padding, align_corners=int(padding == "border"))
            yield "GridSample", 16, [IMAGE, draw(2, 3, 4, 2, low=-1.3, high=1.3)], how


def resizing():
    yield "Upsample", 7, [IMAGE], dict(mode="linear", scales=[1.0, 1.0, 2.0, 1.5])
    yield "Upsample", 9, [IMAGE, np.array([1, 1, 2, 1.5])], dict(mode="linear")
    yield "Resize", 10, [IMAGE, np.array([1, 1, 0.6, 1.5])], dict(mode="linear")
    for mode in "nearest", "linear", "cubic":
        for corners in "half_pixel", "align_corners", "asymmetric":
            how = dict(mode=mode, coordinate_transformation_mode=corners)
            yield "Resize", 13, [IMAGE, None, None, ints(2, 4, 4, 8)], how
    yield "Resize", 13, [IMAGE, None, None, ints(2, 4, 0, 8)], dict(mode="nearest")


def indices():
    several, one = np.array([[0, 2], [1, 1], [2, 0]]), np.array([[0, 2], [1, 0], [2, 1]])
    yield "ScatterElements", 16, [draw(3, 4), one, draw(3, 2)], dict(axis=1)
    yield "ScatterND", 16, [draw(3, 4), np.array([[2], [0]]), draw(2, 4)], {}
    for how in "add", "mul", "max", "min":
        yield "ScatterElements", 18, [draw(3, 4), several, draw(3, 2)], dict(axis=1, reduction=how)
        yield "ScatterND", 18, [draw(3, 4), np.array([[2], [0], [2]]), draw(3, 4)], dict(reduction=how)
    yield "GatherND", 12, [X, np.array([[[1], [0]], [[2], [1]]])], dict(batch_dims=1)
    yield "Gather", 13, [X, np.array([[0, -1], [1, 1]])], dict(axis=1)
    for upper in 0, 1:
        yield "Trilu", 14, [X, np.array(-1, np.int64)], dict(upper=upper)
    for exclusive in 0, 1:
        for reverse in 0, 1:
            yield "CumProd", 26, [X, np.array(1, np.int64)], dict(exclusive=exclusive, reverse=reverse)


def products():
    yield "Det", 11, [draw(2, 4, 4)], {}
    shift = dict(group=2, strides=[2, 1])
    yield "ConvTranspose", 11, [draw(1, 4, 3, 3), draw(4, 2, 3, 2), draw(4)], dict(pads=[1, 0, 0, 1], **shift)
    yield "Conv", 11, [IMAGE, draw(6, 2, 3, 2), draw(6)], dict(dilations=[1, 2], auto_pad="SAME_UPPER", **shift)
    for equation, *given in (("bij,bjk->bik", (2, 3, 4), (2, 4, 5)), ("ii->i", (3, 3)), ("i,j,k->", (2,), (3,), (4,)),
                             ("...ij->...ji", (2, 3, 4))):
        yield "Einsum", 12, [draw(*s) for s in given], dict(equation=equation)


def recurrent():
    for direction, ways in ("forward", 1), ("reverse", 1), ("bidirectional", 2):
        for op, gates in ("RNN", 1), ("GRU", 3), ("LSTM", 4):
            weights = [draw(ways, gates * 3, 2), draw(ways, gates * 3, 3), draw(ways, 2 * gates * 3)]
            states = [None, draw(ways, 2, 3)] + ([draw(ways, 2, 3), draw(ways, 9)] if op == "LSTM" else [])
            more = dict(linear_before_reset=1) if op == "GRU" and ways == 2 else {}
            yield op, 14, [draw(3, 2, 2), *weights, *states], dict(hidden_size=3, direction=direction, **more)


def movement():
    yield "CenterCropPad", 18, [X, ints(2, 6)], dict(axes=[1, 2])
    how = dict(strides=[1, 3], dilations=[1, 1], pads=[0, 0, 1, 0])
    yield "Col2Im", 18, [draw(1, 8, 8), ints(4, 5), ints(2, 2)], how


def of_old_opsets():
    yield "Softmax", 11, [X], dict(axis=1)
    yield "LogSoftmax", 11, [X], dict(axis=1)
    yield "TopK", 1, [X], dict(axis=1, k=2)
    yield "Dropout", 6, [X], {}
    yield "Clip", 6, [X], dict(min=-0.5, max=0.6)
    yield "Pad", 2, [X], dict(pads=[0, 1, 0, 0, 0, 2])
    yield "Squeeze", 1, [X[:1]], dict(axes=[0])
    yield "Split", 2, [X], dict(axis=2, split=[1, 3])
    yield "Tile", 1, [draw(2, 3), np.array(2, np.int64), np.array(1, np.int64)], {}


def forms():
    for group in (activations, normalisations, attention, regions, resizing, indices, products, recurrent, movement,
                  of_old_opsets):
        yield from group()


def form_model(op, opset, inputs, attributes):
    """One node; its inputs those of the graph."""
    names = [f"x{i}" if x is not None else "" for i, x in enumerate(inputs)]
    made = {f"y{i}": TensorProto.DOUBLE for i in range(OUTPUTS.get(op, 1))}
    if op == "TopK":
        made["y1"] = TensorProto.INT64
    given = [helper.make_tensor_value_info(n, TYPES[x.dtype.kind], x.shape) for n, x in zip(names, inputs) if n]
    node = helper.make_node(op, names, list(made), **attributes)
    out = [helper.make_tensor_value_info(n, t, None) for n, t in made.items()]
    graph = helper.make_graph([node], "form", given, out)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
