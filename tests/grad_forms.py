"""The gradient of every operator the importer knows, in every form at hand, against central differences in float64.

usage: grad_forms.py GRAD_FORMS_TOOL IMPORT_ROWS_H
The forms: ONNX's backend node cases (Debian's libonnx-testdata or the test data), with every float type made double and
their numbers moved a little, off the whole numbers where kinks lie; and grad_form_list.py, for what has no such case.
Every row of the importer must be differentiated by some form, with a derivative that is not zero, unless EXEMPT says
why it is not; what is exempt must have none. So a new row fails until it has a gradient and a form, or a reason.
"""
import os
import re
import subprocess
import sys
import tempfile

from checks import needed

with needed():
    import numpy as np
    import onnx
    from onnx import TensorProto, numpy_helper
    from grad_form_list import form_model, forms

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
REASONS = {
    CONSTANT: """Constant ConstantOfShape EyeLike BlackmanWindow HammingWindow HannWindow MelWeightMatrix RandomNormal
                 RandomNormalLike RandomUniform RandomUniformLike""",
    SHAPES: "Shape Size NonZero",
    INTEGERS: """And BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Not Or Xor ConvInteger MatMulInteger""",
    TRUTHS: "Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual ArgMax ArgMin BitCast Multinomial",
    STEPS: "Ceil Floor Round Sign Hardmax Bernoulli QuantizeLinear QLinearConv QLinearMatMul",
    REFUSED: """ConcatFromSequence NonMaxSuppression Optional OptionalGetElement OptionalHasElement RegexFullMatch
                SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength SplitToSequence
                StringConcat StringNormalizer StringSplit""",
}
EXEMPT = {op: reason for reason, ops in REASONS.items() for op in ops.split()}
# Inputs that get no gradient though one exists.
NO_FLOW = {("RoiAlign", 1): "where regions lie: PyTorch has none either"}
KNOWN = ("scales", "roi")                     # inputs that sizes follow from
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
        known = model.graph.input[i].name in KNOWN
        inputs.append(numpy_helper.to_array(t) if known else moved(numpy_helper.to_array(t), i))
    write(folder, model, inputs)
    return model


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
    for i, form in enumerate(forms()):
        folder, model = os.path.join(place, f"form{i}_{form[0]}"), form_model(*form)
        write(folder, model, [x for x in form[2] if x is not None])
        cases[folder] = (f"{form[0]} of opset {form[1]}, {form[3]}", model)
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


class Judge:
    def __init__(self, cases):
        self.cases, self.table = cases, rows()
        self.shown, self.failed, self.compared = set(), {}, 0

    def take(self, folder, word, text):
        name, model = self.cases[folder]
        ops = {n.op_type for n in model.graph.node}
        known = {r for r in (row_of(self.table, n, model) for n in model.graph.node) if r}
        if word == "input":
            k, what = text.split(" ", 1)
            if not any((op, int(k)) in NO_FLOW for op in ops):
                wrong(f"{name}: input {k} {what}")
        elif word == "error":
            self.failed.update((r, f"{name}: {text}") for r in known)
            if "has no gradient" in text or os.path.basename(folder).startswith("form"):
                wrong(f"{name}: {text}")
        elif len(model.graph.node) == 1 and float(text.split()[1]) > 0:
            self.shown |= known
            self.compared += int(text.split()[0])

    def complete(self):
        for op, first in ((op, first) for op in self.table for first, _ in self.table[op]):
            if (op, first) in self.shown and op in EXEMPT:
                wrong(f"{op} has a gradient; EXEMPT says: {EXEMPT[op]}")
            if (op, first) not in self.shown and op not in EXEMPT:
                wrong(f"{op} since opset {first}: no form shows its gradient. {self.failed.get((op, first), '')}")


def main():
    with tempfile.TemporaryDirectory() as place:
        judge = Judge(all_cases(place))
        for result in results(judge.cases):
            judge.take(*result)
    judge.complete()
    print(f"{len(judge.cases)} forms, {judge.compared} derivatives, {len(judge.shown)} rows of the importer; "
          f"{len(EXEMPT)} operators exempt")
    sys.exit(bad > 0)


main()
