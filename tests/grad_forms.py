"""The gradient of every operator the importer knows, in every form at hand, against central differences in float64.

usage: grad_forms.py GRAD_FORMS_TOOL IMPORT_ROWS_H
The forms: ONNX's backend node cases (Debian's libonnx-testdata or the test data), with every float type made double and
their numbers moved a little, off the whole numbers where kinks lie; and those below, for what has no such case.
Every row of the importer must be differentiated by some form, with a derivative that is not zero, unless EXEMPT says why
it is not; what is exempt must have none. So a new row fails until it has a gradient and a form, or a reason.
"""
import os
import re
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as e:
    print(f"skipped: {e}: set TVC_PYTHON, or run tools/setup.sh test")
    sys.exit(77)

TOOL, ROWS = sys.argv[1:3]
HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.environ.get("TVC_TEST_DATA", os.path.join(HERE, "..", "..", "shared", "data"))
SUITES = ["/usr/share/libonnx-testdata/data/node", os.path.join(DATA, "onnx_backend", "node")]
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
NEWEST, AT_ONCE = 1 << 30, 50

SHAPES = "numbers of shapes"
TRUTHS = "its result is integers or truths"
INTEGERS = "its inputs are integers"
STEPS = "its derivative is zero wherever there is one, as PyTorch's"
CONSTANT = "its result does not depend on any float"
REFUSED = "not imported"
EXEMPT = {
    **dict.fromkeys(["Constant", "ConstantOfShape", "EyeLike", "BlackmanWindow", "HammingWindow", "HannWindow",
                     "MelWeightMatrix", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"], CONSTANT),
    **dict.fromkeys(["Shape", "Size", "NonZero"], SHAPES),
    **dict.fromkeys(["And", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Not", "Or", "Xor", "ConvInteger",
                     "MatMulInteger"], INTEGERS),
    **dict.fromkeys(["Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "ArgMax", "ArgMin",
                     "BitCast", "Multinomial"], TRUTHS),
    **dict.fromkeys(["Ceil", "Floor", "Round", "Sign", "Hardmax", "Bernoulli", "QuantizeLinear", "QLinearConv",
                     "QLinearMatMul"], STEPS),
    **dict.fromkeys(["ConcatFromSequence", "NonMaxSuppression", "Optional", "OptionalGetElement", "OptionalHasElement",
                     "RegexFullMatch", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert",
                     "SequenceLength", "SplitToSequence", "StringConcat", "StringNormalizer", "StringSplit"], REFUSED),
}
# Inputs that get no gradient though one exists.
NO_FLOW = {("RoiAlign", 1): "where regions lie: PyTorch has none either"}
bad = 0


def wrong(text):
    global bad
    bad += 1
    print(f"WRONG {text}", flush=True)


# ---- rows of the importer ----

def rows():
    """{operator: [(from, to)]}"""
    found = {}
    with open(ROWS) as f:
        for op, first, last in re.findall(r'^ROW\( "([^"]+)", +(\d+), +(\d+|NEWEST),', f.read(), re.M):
            found.setdefault(op, []).append((int(first), NEWEST if last == "NEWEST" else int(last)))
    return found


def row_of(table, node, model):
    """(operator, first opset) of the row that imports a node, or None."""
    opset = {o.domain or "": o.version for o in model.opset_import}.get(node.domain, 1)
    op = f"{node.domain}:{node.op_type}" if node.domain else node.op_type
    return next(((op, first) for first, last in table.get(op, []) if first <= opset <= last), None)


# ---- cases ----

def as_double(array):
    return np.asarray(array, np.float64)


def tensor_as_double(t):
    if t.data_type in FLOATS:
        t.CopyFrom(numpy_helper.from_array(as_double(numpy_helper.to_array(t)), t.name))


def model_as_double(model):
    for v in [*model.graph.input, *model.graph.output, *model.graph.value_info]:
        if v.type.tensor_type.elem_type in FLOATS:
            v.type.tensor_type.elem_type = TensorProto.DOUBLE
    for t in model.graph.initializer:
        tensor_as_double(t)
    for node in model.graph.node:
        for a in node.attribute:
            if a.HasField("t"):
                tensor_as_double(a.t)
            if a.name in ("to", "dtype", "stash_type") and a.i in FLOATS:
                a.i = TensorProto.DOUBLE


def moved(array, seed):
    """Off whole numbers and ties, by less than any of these cases minds."""
    if array.dtype.kind != "f" or array.ndim == 0:
        return array
    rng = np.random.default_rng(seed)
    by = rng.uniform(0.01, 0.04, array.shape) * rng.choice([-1, 1], array.shape)
    inside = (np.abs(array) <= 1) & (np.abs(array + by) > 1)                  # of arcus functions
    return np.where(inside | (array * (array + by) < 0), array - by, array + by)


def write(folder, model, inputs):
    os.makedirs(folder)
    onnx.save(model, os.path.join(folder, "model.onnx"))
    for i, x in enumerate(inputs):
        with open(os.path.join(folder, f"input_{i}.pb"), "wb") as f:
            f.write(numpy_helper.from_array(np.asarray(x)).SerializeToString())


def suite_case(path, folder):
    """The model of a node case, written with its inputs; None if it holds what is no tensor."""
    model = onnx.load(os.path.join(path, "model.onnx"))
    if any(not v.type.HasField("tensor_type") for v in model.graph.input):
        return None
    model_as_double(model)
    inputs = []
    for i in range(len(model.graph.input)):
        t = TensorProto()
        with open(os.path.join(path, "test_data_set_0", f"input_{i}.pb"), "rb") as f:
            t.ParseFromString(f.read())
        if t.data_type == TensorProto.STRING:
            return None
        tensor_as_double(t)
        inputs.append(moved(numpy_helper.to_array(t), i))
    write(folder, model, inputs)
    return model


def draw(*shape, low=-1.0, high=1.0):
    return np.random.default_rng(sum(shape) + len(shape)).uniform(low, high, shape)


def ints(*v):
    return np.array(v, np.int64)


def forms():
    """(operator, opset, inputs, attributes): None is an input left out."""
    x4, image = draw(2, 3, 4), draw(2, 4, 6, 5)
    for approximate in "none", "tanh":
        yield "Gelu", 20, [x4], dict(approximate=approximate)
    yield "Mish", 18, [x4], {}
    yield "Swish", 24, [x4], dict(alpha=1.3)
    yield "SwiGLU", 28, [x4, draw(2, 3, 4, high=2)], {}
    for exclusive in 0, 1:
        for reverse in 0, 1:
            yield "CumProd", 26, [x4, np.array(1, np.int64)], dict(exclusive=exclusive, reverse=reverse)
    yield "GroupNormalization", 18, [image, draw(2), draw(2)], dict(num_groups=2)
    yield "GroupNormalization", 21, [image, draw(4), draw(4)], dict(num_groups=2)
    for p in 1, 2:
        yield "LpNormalization", 1, [x4], dict(p=p, axis=1)
        yield "LpPool", 18, [image], dict(p=p, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1])
        yield "GlobalLpPool", 2, [image], dict(p=p)
    yield "RMSNormalization", 23, [x4, draw(4)], dict(axis=-1)
    q, k, v = draw(2, 4, 3, 8), draw(2, 2, 5, 8), draw(2, 2, 5, 6)
    yield "Attention", 23, [q, k, v], {}
    yield "Attention", 23, [q, k, v, draw(3, 5)], dict(softcap=2.0, scale=0.3)
    yield "Attention", 23, [draw(2, 5, 4, 8), draw(2, 5, 4, 8), draw(2, 5, 4, 6)], dict(is_causal=1)
    yield "Attention", 23, [draw(2, 3, 16), draw(2, 5, 8), draw(2, 5, 6)], dict(q_num_heads=4, kv_num_heads=2)
    yield "RotaryEmbedding", 23, [draw(2, 4, 3, 8), draw(2, 3, 4), draw(2, 3, 4)], {}
    yield "RotaryEmbedding", 23, [draw(2, 4, 3, 8), draw(2, 3, 4), draw(2, 3, 4)], dict(interleaved=1)
    yield "DeformConv", 19, [draw(1, 2, 5, 4), draw(3, 2, 3, 2), draw(1, 12, 3, 3, high=0.4), draw(3), draw(1, 6, 3, 3)], {}
    regions = np.array([[0, 0, 0, 3, 4], [1, 1, 0, 4, 3], [1, 2, 2, 7, 6]], np.float64)
    yield "MaxRoiPool", 1, [image, regions], dict(pooled_shape=[2, 3], spatial_scale=1.0)
    for mode in "avg", "max":
        for opset, samples in (10, 2), (16, 0):
            yield "RoiAlign", opset, [image + 1, regions[:, 1:], ints(0, 1, 1)], dict(mode=mode, output_height=2, output_width=3,
                                                                                 sampling_ratio=samples)
    yield "CenterCropPad", 18, [x4, ints(2, 6)], dict(axes=[1, 2])
    yield "Col2Im", 18, [draw(1, 8, 8), ints(4, 5), ints(2, 2)], dict(strides=[1, 3], dilations=[1, 1], pads=[0, 0, 1, 0])
    for how in "none", "add", "mul", "max", "min":
        reduction = {} if how == "none" else dict(reduction=how)
        places = np.array([[0, 2], [1, 1], [2, 0]]) if how != "none" else np.array([[0, 2], [1, 0], [2, 1]])
        yield "ScatterElements", 18, [draw(3, 4), places, draw(3, 2)], dict(axis=1, **reduction)
        yield "ScatterND", 18, [draw(3, 4), np.array([[2], [0]]), draw(2, 4)], reduction
    yield "GatherND", 12, [x4, np.array([[[1], [0]], [[2], [1]]])], dict(batch_dims=1)
    yield "Gather", 13, [x4, np.array([[0, -1], [1, 1]])], dict(axis=1)
    for upper in 0, 1:
        yield "Trilu", 14, [x4, np.array(-1, np.int64)], dict(upper=upper)
    yield "Det", 11, [draw(2, 4, 4)], {}
    yield "Upsample", 7, [image], dict(mode="linear", scales=[1.0, 1.0, 2.0, 1.5])
    yield "Upsample", 9, [image, np.array([1, 1, 2, 1.5])], dict(mode="linear")
    yield "Resize", 10, [image, np.array([1, 1, 0.6, 1.5])], dict(mode="linear")
    for mode in "nearest", "linear", "cubic":
        for corners in "half_pixel", "align_corners", "asymmetric":
            yield "Resize", 13, [image, None, None, ints(2, 4, 4, 8)], dict(mode=mode, coordinate_transformation_mode=corners)
    for mode in "nearest", "bilinear", "bicubic":
        for padding in "zeros", "border", "reflection":
            grid = draw(2, 3, 4, 2, low=-1.3, high=1.3)
            yield "GridSample", 16, [image, grid], dict(mode=mode, padding_mode=padding, align_corners=int(padding == "border"))
    for equation, *given in ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)), ("ii->i", (3, 3)), ("i,j,k->", (2,), (3,), (4,)), ("...ij->...ji", (2, 3, 4)):
        yield "Einsum", 12, [draw(*s) for s in given], dict(equation=equation)
    for direction, ways in ("forward", 1), ("reverse", 1), ("bidirectional", 2):
        for op, gates in ("RNN", 1), ("GRU", 3), ("LSTM", 4):
            weights = [draw(ways, gates * 3, 2), draw(ways, gates * 3, 3), draw(ways, 2 * gates * 3)]
            states = [None, draw(ways, 2, 3)] + ([draw(ways, 2, 3), draw(ways, 9)] if op == "LSTM" else [])
            more = dict(linear_before_reset=1) if op == "GRU" and ways == 2 else {}
            yield op, 14, [draw(3, 2, 2), *weights, *states], dict(hidden_size=3, direction=direction, **more)
    for op, opset, attributes in (("Softmax", 11, dict(axis=1)), ("LogSoftmax", 11, dict(axis=1)), ("TopK", 1, dict(axis=1, k=2)),
                                  ("Dropout", 6, {}), ("Clip", 6, dict(min=-0.5, max=0.6)), ("Pad", 2, dict(pads=[0, 1, 0, 0, 0, 2])),
                                  ("Squeeze", 1, dict(axes=[0])), ("Split", 2, dict(axis=2, split=[1, 3]))):
        yield op, opset, [x4[:1] if op == "Squeeze" else x4], attributes
    yield "Tile", 1, [draw(2, 3), np.array(2, np.int64), np.array(1, np.int64)], {}
    yield "PRelu", 9, [image, draw(4, 1, 1)], {}
    yield "ConvTranspose", 11, [draw(1, 4, 3, 3), draw(4, 2, 3, 2), draw(4)], dict(group=2, strides=[2, 1], pads=[1, 0, 0, 1])
    yield "Conv", 11, [image, draw(6, 2, 3, 2), draw(6)], dict(group=2, strides=[2, 1], dilations=[1, 2], auto_pad="SAME_UPPER")


OUTPUTS = {"TopK": 2, "Split": 2, "LSTM": 3, "GRU": 2, "RNN": 2, "MaxPool": 2}


def form_model(op, opset, inputs, attributes):
    names = [f"x{i}" if x is not None else "" for i, x in enumerate(inputs)]
    outs = [f"y{i}" for i in range(OUTPUTS.get(op, 1))]
    given = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype) if hasattr(helper, "np_dtype_to_tensor_dtype")
                                           else onnx.mapping.NP_TYPE_TO_TENSOR_TYPE[x.dtype], x.shape)
             for n, x in zip(names, inputs) if n]
    made = [helper.make_tensor_value_info(n, TensorProto.INT64 if op == "TopK" and n == "y1" else TensorProto.DOUBLE, None) for n in outs]
    graph = helper.make_graph([helper.make_node(op, names, outs, **attributes)], "form", given, made)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def all_cases(place):
    """{folder: (name, model)}"""
    cases = {}
    suite = next((s for s in SUITES if os.path.isdir(s)), None)
    if suite is None:
        print("no node cases: install libonnx-testdata, or set TVC_TEST_DATA")
        sys.exit(77)
    for name in sorted(os.listdir(suite)):
        folder = os.path.join(place, name)
        if "_expanded" not in name:                      # functions' bodies, made of other operators
            model = suite_case(os.path.join(suite, name), folder)
            if model is not None:
                cases[folder] = (name, model)
    for i, (op, opset, inputs, attributes) in enumerate(forms()):
        folder, model = os.path.join(place, f"form{i}_{op}"), form_model(op, opset, inputs, attributes)
        write(folder, model, [x for x in inputs if x is not None])
        cases[folder] = (f"{op} of opset {opset}, {attributes}", model)
    return cases


# ---- judging ----

def results(cases):
    """(folder, word, text) for every line the tool prints."""
    folders = list(cases)
    for i in range(0, len(folders), AT_ONCE):
        p = subprocess.run([TOOL, *folders[i:i + AT_ONCE]], capture_output=True, text=True, timeout=600)
        if p.returncode:
            wrong(f"grad_forms_tool: {p.returncode} {p.stderr[-300:]} {p.stdout[-300:]}")
        for line in p.stdout.splitlines():
            yield line.split(" ", 2)


def judge_input(name, model, text):
    k, what = text.split(" ", 1)
    ops = {n.op_type for n in model.graph.node}
    if not any((op, int(k)) in NO_FLOW for op in ops):
        wrong(f"{name}: input {k} {what}")


def main():
    table, shown, failed, compared = rows(), set(), {}, 0
    with tempfile.TemporaryDirectory() as place:
        cases = all_cases(place)
        for folder, word, text in results(cases):
            name, model = cases[folder]
            known = {r for r in (row_of(table, n, model) for n in model.graph.node) if r}
            if word == "input":
                judge_input(name, model, text)
            elif word == "error":
                failed.update((r, f"{name}: {text}") for r in known)
                if "has no gradient" in text:
                    wrong(f"{name}: {text}")
                elif os.path.basename(folder).startswith("form"):
                    wrong(f"{name}: {text}")
                elif os.environ.get("GRAD_FORMS_TELL"):
                    print(f"{name}: {text}")
            elif float(text.split()[1]) > 0:
                shown |= known if len(model.graph.node) == 1 else set()
                compared += int(text.split()[0])
    for op in table:
        for first, _ in table[op]:
            if (op, first) in shown and op in EXEMPT:
                wrong(f"{op} has a gradient; EXEMPT says: {EXEMPT[op]}")
            if (op, first) not in shown and op not in EXEMPT:
                wrong(f"{op} since opset {first}: no form shows its gradient. {failed.get((op, first), '')}")
    print(f"{len(cases)} forms, {compared} derivatives, {len(shown)} rows of the importer; {len(EXEMPT)} operators exempt")
    sys.exit(bad > 0)


main()
