#!/usr/bin/env python3
"""Weights in every form a file may have them, trained by `tvc train` and exported; ONNX Runtime runs the results.

One small network, made of numbers that 16 bits can hold, is written with its weights as initializers (the base), as
Constant and ConstantOfShape nodes, behind Identity, in float16 and bfloat16; without BatchNorm there is a note. All learn the same, so whatever the form,
what was learned must be the base's (rounded, where the file has 16 bits), and stand in the file in the form it had;
weights of nodes become initializers, and what was frozen keeps its numbers.

usage: train_forms.py TVC
"""
import subprocess
import sys
import tempfile
from pathlib import Path

from checks import needed

with needed():
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper
    from PIL import Image

TVC = sys.argv[1]
CLASSES, SIZE, CHANNELS = 3, 12, 8
KINDS = {"f32": TensorProto.FLOAT, "f16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
PLAIN = "--recipe full --keep-head --epochs 3 --batch 6 --lr 0.05 --optimizer sgd --schedule constant --augment none --seed 3".split()
EXACT = "--scale 0.00390625 --mean 0 --std 1".split()             # of 8 bits, which even bfloat16 holds


def tvc(*words, code=0):
    done = subprocess.run([TVC, *map(str, words)], capture_output=True, text=True, timeout=300)
    if done.returncode != code:
        sys.exit(f"tvc {' '.join(map(str, words))}: exit {done.returncode} instead of {code}\n{done.stderr}")
    return done.stderr


def check(what, ok):
    if not ok:
        sys.exit(f"{what}: not so")


def pictures(folder):
    rng = np.random.default_rng(5)
    for split, each in (("train", 8), ("val", 4)):
        for k in range(CLASSES):
            to = folder / split / f"class{k}"
            to.mkdir(parents=True)
            for i in range(each):
                colour = np.zeros(3)
                colour[k] = 90
                pixels = np.clip(rng.normal(80, 40, (SIZE, SIZE, 3)) + colour, 0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(to / f"{i}.png")
    return folder


def weights():
    rng = np.random.default_rng(1)
    draw = lambda *s: (np.round(np.clip(rng.normal(size=s) * 0.3, -1, 1) * 64) / 64).astype(np.float32)
    ones, zeros = np.ones(CHANNELS, np.float32), np.zeros(CHANNELS, np.float32)
    return {"w1": draw(CHANNELS, 3, 3, 3), "b1": zeros, "scale": ones, "shift": zeros + np.float32(0.25), "mean": zeros, "var": ones,
            "w2": draw(CHANNELS, CHANNELS, 3, 3), "w3": draw(CLASSES, CHANNELS), "b3": zeros[:CLASSES]}


def as_type(array, kind):
    if kind == "bf16":
        return helper.make_tensor("", KINDS[kind], array.shape, array.ravel().tolist())
    return numpy_helper.from_array(array.astype(np.float16 if kind == "f16" else np.float32))


def network(path, kind="f32", constant=(), filled=(), behind=(), norm=True, deep=2):
    """`constant`, `filled`: weights in Constant and ConstantOfShape nodes; `behind`: read through an Identity.
    The second convolution stands there `deep` times, with the same weight."""
    nodes, inits, last = [], [], "x"
    name = {}
    for key, array in weights().items():
        if not norm and key in ("scale", "shift", "mean", "var"):
            continue
        name[key] = key
        value = as_type(array, kind)
        if key in constant:
            nodes.append(helper.make_node("Constant", [], [key], value=value))
        elif key in filled:
            inits.append(numpy_helper.from_array(np.array(array.shape, np.int64), key + ".shape"))
            one = as_type(array.ravel()[:1], kind)
            nodes.append(helper.make_node("ConstantOfShape", [key + ".shape"], [key], value=one))
        else:
            value.name = key
            inits.append(value)
        if key in behind:
            name[key] = key + ".again"
            nodes.append(helper.make_node("Identity", [key], [name[key]]))

    def add(op, *inputs, **attr):
        nonlocal last
        out = "y" if op == "Gemm" else f"{op.lower()}{len(nodes)}"
        nodes.append(helper.make_node(op, [last, *inputs], [out], **attr))
        last = out

    add("Conv", name["w1"], name["b1"], pads=[1, 1, 1, 1])
    if norm:
        add("BatchNormalization", *(name[k] for k in ("scale", "shift", "mean", "var")))
    add("Relu")
    for i in range(deep):
        add("Conv", name["w2"] if i % 2 else "w2", pads=[1, 1, 1, 1])
        add("Relu")
    add("GlobalAveragePool")
    add("Flatten")
    add("Gemm", name["w3"], name["b3"], transB=1)
    x = helper.make_tensor_value_info("x", KINDS[kind], ["N", 3, SIZE, SIZE])
    y = helper.make_tensor_value_info("y", KINDS[kind], ["N", CLASSES])
    model = helper.make_model(helper.make_graph(nodes, "net", [x], [y], inits), opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def values(path):
    return {t.name: numpy_helper.to_array(t).astype(np.float32) for t in onnx.load(path).graph.initializer if t.data_type in KINDS.values()}


def nodes_of(path, op):
    return {n.output[0]: n for n in onnx.load(path).graph.node if n.op_type == op}


class Forms:
    def __init__(self, tmp):
        self.tmp, self.photos = tmp, pictures(tmp / "photos")

    def train(self, name, *words, **form):
        model, mine = network(self.tmp / f"{name}.onnx", **form), self.tmp / f"{name}.mine.onnx"
        self.said = tvc("train", model, self.photos, "-o", mine, "--run-dir", self.tmp / f"{name}.run", *EXACT, *(words or PLAIN))
        onnx.checker.check_model(onnx.load(mine), full_check=form.get("kind") != "bf16")
        return model, mine

    def run(self, path, kind="f32"):
        """Logits of the validation pictures, by ONNX Runtime."""
        dtype = np.float16 if kind == "f16" else np.float32
        x = [np.asarray(Image.open(p), np.float32).transpose(2, 0, 1) / 256 for p in sorted(self.photos.glob("val/*/*.png"))]
        return onnxruntime.InferenceSession(str(path)).run(None, {"x": np.stack(x).astype(dtype)})[0].astype(np.float32)


def same(what, got, want):
    check(f"{what}: names {sorted(got)}", sorted(got) == sorted(want))
    for k in want:
        check(f"{what}: {k} is the base's, {np.abs(got[k] - want[k]).max()} apart", np.array_equal(got[k], want[k]))


def constants(f, base, mine):
    every = tuple(weights())
    filled = ("b1", "scale", "shift", "mean", "var", "b3")
    model, out = f.train("constant", constant=every)
    same("Constant", values(out), values(mine))
    check("no Constant is left", not nodes_of(out, "Constant"))
    check("Constant: ONNX Runtime agrees with the base", np.array_equal(f.run(out), f.run(mine)))
    _, again = f.train("constant-again", *PLAIN, "--init", out, constant=every)
    check("Constant: --init goes on from what was learned", not np.array_equal(values(again)["w1"], values(out)["w1"]))
    _, out = f.train("filled", filled=filled)
    same("ConstantOfShape", values(out), values(mine))
    check("no ConstantOfShape is left", not nodes_of(out, "ConstantOfShape"))
    check("ConstantOfShape: ONNX Runtime agrees with the base", np.array_equal(f.run(out), f.run(mine)))
    model, out = f.train("head", "--recipe", "head", "--keep-head", "--epochs", "2", constant=every)
    was, now = weights(), values(out)
    check("the head is learned, the rest stays", [k for k in was if not np.array_equal(was[k], now[k])] == ["w3", "b3"])
    _, out = f.train("glob", *PLAIN, "--freeze", "w1,b1", constant=every)
    frozen = [k for k in was if np.array_equal(was[k], values(out)[k])]
    check(f"a Constant can be frozen by its name: {frozen}", frozen == ["w1", "b1"])


def shared(f, base, mine):
    _, out = f.train("identity", behind=tuple(weights()))
    same("Identity", values(out), values(mine))
    check("Identity: ONNX Runtime agrees with the base", np.array_equal(f.run(out), f.run(mine)))


def narrow(f, base, mine):
    for kind in "f16", "bf16":
        model, out = f.train(kind, kind=kind)
        want = {k: numpy_helper.to_array(as_type(v, kind)).astype(np.float32) for k, v in values(mine).items()}
        same(kind, values(out), want)
        types = {t.data_type for t in onnx.load(out).graph.initializer}
        check(f"{kind}: initializers stay {kind}", types == {KINDS[kind]})
        check(f"{kind}: something was learned", not np.array_equal(values(out)["w1"], values(model)["w1"]))
        check(f"{kind}: running statistics moved", not np.array_equal(values(out)["mean"], values(model)["mean"]))
    far = np.abs(f.run(f.tmp / "f16.mine.onnx", "f16") - f.run(mine)).max()
    check(f"f16: ONNX Runtime within {far} of the base", far < 0.02)
    _, out = f.train("f16-constant", kind="f16", constant=tuple(weights()))
    same("f16 Constant", values(out), values(f.tmp / "f16.mine.onnx"))


def folded(f, base, mine):
    f.train("shallow", norm=False)
    check("no note on so few convolutions", "BatchNormalization" not in f.said)
    f.train("deep", deep=9)
    check("no note where there is BatchNorm", "BatchNormalization" not in f.said)
    f.train("folded", norm=False, deep=9)
    check("a note where BatchNorm may have been folded", "folded it into the 10 convolutions" in f.said)


def main():
    with tempfile.TemporaryDirectory() as tmp:
        f = Forms(Path(tmp))
        base, mine = f.train("base")
        check("the base learned", not np.array_equal(values(base)["w1"], values(mine)["w1"]))
        right = (f.run(mine).argmax(1) == np.repeat(np.arange(CLASSES), 4)).mean()
        check(f"the base tells classes apart: {right}", right > 0.6)
        for part in constants, shared, narrow, folded:
            part(f, base, mine)
            print(part.__name__, "passed", flush=True)


main()
