"""Reads the models named in a text that test_model.c wrote, prints them the same way with the onnx
package, and compares line by line. usage: model_text.py FILE"""
import hashlib
import struct
import sys

import onnx
from onnx import AttributeProto as A
from onnx import numpy_helper


def digest(data):
    return " " + hashlib.sha1(data).hexdigest()


def tensor(t):
    text = "%d [%s]" % (t.data_type, "".join("%d " % d for d in t.dims))
    if t.data_type in (8, 14, 15) or t.data_type > 16:
        return text
    if t.data_type == 16 and not t.HasField("raw_data"):
        return text + digest(b"".join(struct.pack("<H", v) for v in t.int32_data))
    return text + digest(t.raw_data if t.HasField("raw_data") else numpy_helper.to_array(t).tobytes())


def attribute(a):
    value = {A.INT: lambda: "%d" % a.i, A.FLOAT: lambda: digest(struct.pack("<f", a.f)), A.STRING: lambda: digest(a.s),
             A.TENSOR: lambda: tensor(a.t), A.FLOATS: lambda: digest(struct.pack("<%df" % len(a.floats), *a.floats)),
             A.INTS: lambda: digest(struct.pack("<%dq" % len(a.ints), *a.ints))}.get(a.type, lambda: "")()
    return " %s %d %s" % (a.name, a.type if a.type <= 10 else 99, value)


def value(what, v):
    kind = v.type.WhichOneof("value")
    kind = {None: "none", "sparse_tensor_type": "sparse"}.get(kind, (kind or "").replace("_type", ""))
    text = "%s %s %s" % (what, v.name, kind)
    if kind != "tensor":
        return text
    t = v.type.tensor_type
    dims = t.shape.dim if t.HasField("shape") else []
    text += " %d %d" % (t.elem_type, len(dims) if t.HasField("shape") else -1)
    return text + "".join(" %s" % (d.dim_value if d.HasField("dim_value") else d.dim_param or "?") for d in dims)


def lines(path):
    m = onnx.load(path)
    g = m.graph
    yield "model %s %d %s %s" % (path, m.ir_version, m.producer_name, g.name)
    for o in m.opset_import:
        yield "opset '%s' %d" % ("" if o.domain == "ai.onnx" else o.domain, o.version)
    for n in g.node:
        names = ["".join(s + "," for s in list_) for list_ in (n.input, n.output)]
        yield "node %s %s %s (%s) (%s)" % (n.op_type, "" if n.domain == "ai.onnx" else n.domain, n.name, *names)
        yield from (attribute(a) for a in n.attribute)
    yield from ("init %s %s" % (t.name, tensor(t)) for t in g.initializer)
    yield from (value("input", v) for v in g.input)
    yield from (value("output", v) for v in g.output)
    yield from (value("value", v) for v in g.value_info)


got = open(sys.argv[1], encoding="utf-8").read().split("\n")[:-1]
paths = [line.split(" ")[1] for line in got if line.startswith("model ")]
want = [line for path in paths for line in lines(path)]
for a, b in zip(got, want):
    if a != b:
        sys.exit("tvc:  %s\nonnx: %s" % (a, b))
if len(got) != len(want) or not paths:
    sys.exit("%d lines, %d wanted" % (len(got), len(want)))
