"""Element-wise operators, activations, reductions, softmaxes and normalisations in the forms of opsets 7 to 17 against
ONNX Runtime: every form that differs from its neighbours, on odd shapes, several types, special values.

usage: ops_forms.py build/tvc [eval|cpu]
Skipped (exit 77) without onnx and onnxruntime.
"""
import itertools
import os
import subprocess
import sys
import tempfile

from checks import needed

with needed():
    import numpy as np
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

rng = np.random.default_rng(3)
NAN, INF = float("nan"), float("inf")
SPECIAL = np.array([-INF, -1e30, -2.5, -1.5, -0.5, -0.0, 0.0, 0.5, 1.5, 2.5, 88.0, 1e30, INF, NAN], np.float32)
cases = []                              # (name, opset, nodes' arguments, inputs, initializers)


def real(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def positive(*shape):
    return (np.abs(rng.standard_normal(shape)) + 0.1).astype(np.float32)


def whole(*shape, low=-9, high=9, dtype=np.int64):
    return rng.integers(low, high, shape).astype(dtype)


def add(op, opset, *inputs, known=(), outputs=1, **attributes):
    """One node; the last inputs, `known`, become initializers."""
    cases.append((f"{op}_{opset}_{len(cases)}", opset, op, inputs, known, outputs, attributes))


def fill():
    x = real(2, 3, 4, 5)
    for op in ("Relu", "Sigmoid", "Tanh", "Exp", "Neg", "Abs", "Floor", "Ceil", "Softplus", "Softsign", "Elu", "Selu",
               "LeakyRelu", "HardSigmoid", "Reciprocal"):
        add(op, 7, x), add(op, 13, SPECIAL)
    for op in ("Sign", "IsNaN", "Erf", "Round", "Shrink", "ThresholdedRelu", "IsInf"):
        add(op, 11, SPECIAL), add(op, 13, x * 3)
    add("IsInf", 10, SPECIAL, detect_negative=0), add("IsInf", 10, SPECIAL, detect_positive=0)
    for op, a, b in itertools.product(("Add", "Sub", "Mul", "Div", "Pow"), [(2, 3, 4), (3, 1), (1,)], [(4,), (2, 1, 1), ()]):
        add(op, 7, positive(*a), positive(*b)), add(op, 14, positive(*a), positive(*b))
    for op in ("Max", "Min", "Sum", "Mean"):
        add(op, 8, x, real(5), real(4, 1)), add(op, 13, x)
    add("Max", 12, SPECIAL, SPECIAL[::-1].copy()), add("Min", 12, SPECIAL, SPECIAL[::-1].copy())
    for op in ("Add", "Sub", "Mul", "Max", "Min"):
        add(op, 14, whole(7, 2), whole(2)), add(op, 14, whole(7, dtype=np.int32), whole(7, dtype=np.int32))
    add("Div", 14, whole(7, 2), whole(2, low=1)), add("Mod", 13, whole(30), whole(30, low=1))
    add("Mod", 13, whole(30), whole(30, low=-9, high=-1), fmod=1), add("Mod", 13, real(30) * 9, positive(30), fmod=1)
    for op in ("Equal", "Less", "Greater"):
        add(op, 9 if op != "Equal" else 11, SPECIAL, SPECIAL[::-1].copy()), add(op, 13, whole(4, 5), whole(5))
    add("LessOrEqual", 12, SPECIAL, SPECIAL[::-1].copy()), add("GreaterOrEqual", 12, SPECIAL, SPECIAL[::-1].copy())
    add("Clip", 7, x, min=-0.5, max=0.5), add("Clip", 10, x, max=0.25), add("Clip", 11, x, np.float32(-0.3), np.float32(0.4))
    add("Clip", 13, x, known=(np.float32(-0.3),)), add("Clip", 13, SPECIAL, np.float32(-1), np.float32(1))
    add("PRelu", 7, x, positive(3, 1, 1)), add("PRelu", 16, x, positive(1))
    for to in (TensorProto.INT32, TensorProto.INT64, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BOOL):
        add("Cast", 9, x * 50, to=to), add("Cast", 13, whole(9), to=to)
    add("Cast", 13, np.array([0.0, -0.0, 0.25, NAN, -3]).astype(np.float32), to=TensorProto.BOOL)
    add("Where", 9, x > 0, x, real(5))
    for op, opset, axis in itertools.product(("Softmax", "LogSoftmax", "Hardmax"), (7, 11, 13), (0, 1, 2, 3)):
        add(op, opset, x, axis=axis)
    add("Softmax", 7, x), add("Softmax", 11, x, axis=-1), add("Softmax", 13, x), add("LogSoftmax", 13, x * 100)
    for op in ("Sum", "Mean", "Prod", "Max", "Min", "L1", "L2", "LogSumExp", "SumSquare"):
        for axes in ([0], [1, 3], [-1, -2], None):
            extra = {} if axes is None else {"axes": axes}
            add("Reduce" + op, 7, x, **extra), add("Reduce" + op, 11, x, keepdims=0, **extra)
    add("ReduceLogSum", 11, positive(3, 4), axes=[1]), add("ReduceSum", 13, x, known=(np.array([2, 1]),), keepdims=0)
    add("ReduceMean", 18, x, known=(np.array([-1]),)), add("ReduceMax", 18, x, noop_with_empty_axes=1)
    add("ReduceSum", 11, whole(3, 4, dtype=np.int32), axes=[0]), add("ReduceMax", 12, whole(3, 4, dtype=np.int8), axes=[1])
    for op, last in itertools.product(("ArgMax", "ArgMin"), (0, 1)):
        ties = whole(4, 6, low=0, high=3).astype(np.float32)
        add(op, 12, ties, axis=1, select_last_index=last), add(op, 12, ties, axis=-2, keepdims=0, select_last_index=last)
    for flags in itertools.product((0, 1), (0, 1)):
        add("CumSum", 11, x, known=(np.int64(-2),), exclusive=flags[0], reverse=flags[1])
    statistics = (positive(3), real(3), real(3), positive(3))
    add("BatchNormalization", 7, x, known=statistics), add("BatchNormalization", 9, x, known=statistics, epsilon=0.01)
    add("BatchNormalization", 15, x[:, :, 0, 0], known=statistics), add("InstanceNormalization", 7, x, known=statistics[:2])
    add("LayerNormalization", 17, x, known=(real(4, 5), real(4, 5)), axis=2, outputs=3)
    add("LayerNormalization", 17, x, known=(real(5),)), add("LpNormalization", 7, x, axis=1, p=1), add("LpNormalization", 7, x)
    add("LRN", 7, x, size=3), add("LRN", 13, real(1, 7, 2, 2), size=5, alpha=0.3, beta=0.6, bias=2.0)
    add("MeanVarianceNormalization", 9, x), add("MeanVarianceNormalization", 13, x, axes=[1, 2])
    add("Dropout", 7, x), add("Dropout", 10, x, outputs=2), add("Dropout", 13, x, outputs=2)
    add("QuantizeLinear", 10, x * 90, known=(np.float32(0.5), np.uint8(100)))
    add("QuantizeLinear", 13, x * 90, known=(positive(3), whole(3, dtype=np.int8)), axis=1)
    add("DequantizeLinear", 13, whole(2, 3, 4, dtype=np.int8), known=(positive(3), whole(3, dtype=np.int8)), axis=1)
    add("DynamicQuantizeLinear", 11, x, outputs=3), add("EyeLike", 9, x[0, 0], k=-1), add("EyeLike", 9, whole(3, 5), k=2)
    for how, weighted in itertools.product(("mean", "sum", "none"), (False, True)):
        known = (positive(3),) if weighted else ()
        target = whole(2, 4, 5, low=0, high=3)
        add("SoftmaxCrossEntropyLoss", 13, x, target, known=known, reduction=how, ignore_index=1, outputs=2)
        add("NegativeLogLikelihoodLoss", 13, x, target, known=known, reduction=how)


def tensor(a, name):
    return numpy_helper.from_array(np.asarray(a), name)


def model_of(opset, op, inputs, known, outputs, attributes):
    names = [f"x{k}" for k in range(len(inputs) + len(known))]
    node = helper.make_node(op, names, [f"y{k}" for k in range(outputs)], **attributes)
    types = [helper.make_tensor_value_info(n, tensor(x, n).data_type, np.shape(x)) for n, x in zip(names, inputs)]
    results = [onnx.ValueInfoProto(name=f"y{k}") for k in range(outputs)]
    graph = helper.make_graph([node], op, types, results, [tensor(v, n) for n, v in zip(names[len(inputs):], known)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)


def write_case(folder, case):
    """The case with ONNX Runtime's answers; False if that cannot run it."""
    name, opset, op, inputs, known, outputs, attributes = case
    model = model_of(opset, op, inputs, known, outputs, attributes)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        answers = session.run(None, {f"x{k}": np.asarray(x) for k, x in enumerate(inputs)})
    except Exception as e:                                  # onnxruntime raises its own kinds
        print(f"{name}: not judged: {str(e).splitlines()[0][:110]}")
        return False
    data = os.path.join(folder, name, "test_data_set_0")
    os.makedirs(data)
    onnx.save(model, os.path.join(folder, name, "model.onnx"))
    for what, values in (("input", inputs), ("output", answers)):
        for k, v in enumerate(values):
            with open(os.path.join(data, f"{what}_{k}.pb"), "wb") as f:
                f.write(tensor(v, "").SerializeToString())
    return True


def main(tvc, device="eval"):
    fill()
    with tempfile.TemporaryDirectory() as folder:
        judged = sum(write_case(folder, case) for case in cases)
        run = subprocess.run([tvc, "verify", "--device", device, "--atol", "1e-6", folder], check=False)
    print(f"{judged} of {len(cases)} cases judged")
    return run.returncode or judged < 0.95 * len(cases)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
