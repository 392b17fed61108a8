"""`tvc edit` on real and on hand-made files, judged by onnx and ONNX Runtime: what each edit changes,
what it leaves alone, and that tvc and ONNX Runtime agree on the result.

usage: surgery.py TVC SOURCE_FOLDER
Skipped (exit 77) without onnx and onnxruntime. Uses the real models where the test data has them.
"""
import glob
import json
import os
import subprocess
import sys
import tempfile

from checks import check, exit_checks, needed

with needed():
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper


TVC, SOURCE = sys.argv[1], sys.argv[2]
DATA = os.environ.get("TVC_TEST_DATA", f"{SOURCE}/../shared/data")
FASHION = f"{SOURCE}/examples/fashion/fashion7.onnx"
rng = np.random.default_rng(3)
FOLDER = tempfile.TemporaryDirectory()
OUT = f"{FOLDER.name}/out.onnx"


def real(name):
    path = f"{DATA}/models/{name}/model.onnx"
    return [path] if os.path.exists(path) else []


def run(*args):
    return subprocess.run([TVC, *map(str, args), "-q"], capture_output=True, text=True, timeout=300)


def edit(path, *options, code=0, says=""):
    """The edited model, or None where it is refused as it should be."""
    r = run("edit", path, *options, "-o", OUT)
    check(f"edit {path} {options} exits {code}", r.returncode == code, f"{r.returncode} {r.stderr}")
    check(f"edit {path} {options} says {says}", says in r.stderr, r.stderr)
    if r.returncode:
        return None
    model = onnx.load(OUT)                            # given a path, the checker writes what it infers into the file
    onnx.checker.check_model(model, full_check=True)
    return model


def save(model, name="made.onnx"):
    path = f"{FOLDER.name}/{name}"
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def weights(model):
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def metadata(model):
    return {e.key: e.value for e in model.metadata_props}


def feed_for(model, batch=1):
    known = weights(model)
    return {v.name: rng.standard_normal([batch if k == 0 and batch > 1 else d.dim_value or 1 for k, d in enumerate(v.type.tensor_type.shape.dim)])
            .astype(np.float32) for v in model.graph.input if v.name not in known}


def reference(path, feed):
    o = onnxruntime.SessionOptions()
    o.log_severity_level = 3
    return onnxruntime.InferenceSession(path, o, providers=["CPUExecutionProvider"]).run(None, feed)


def agree(what, path=OUT):
    model = onnx.load(path)
    feed = feed_for(model)
    args = []
    for k, (name, x) in enumerate(feed.items()):
        np.save(f"{FOLDER.name}/in{k}.npy", x)
        args += ["--input", f"{name}={FOLDER.name}/in{k}.npy"]
    r = run("run", path, *args, "--dump", f"{FOLDER.name}/out")
    check(f"{what}: tvc runs it", r.returncode == 0, r.stderr)
    for v, want in zip(model.graph.output, reference(path, feed)):
        got = np.load(f"{FOLDER.name}/out/{v.name.replace('/', '_')}.npy")
        check(f"{what}: ONNX Runtime agrees on {v.name}", got.shape == want.shape and np.allclose(got, want, rtol=1e-3, atol=1e-4),
              f"{got.shape} {want.shape}")
    return reference(path, feed)


def differences(a, b):
    """Names of nodes (by output), initializers, values and metadata that are not the same in both."""
    def parts(m):
        yield from (("node", n.output[0], n.SerializeToString()) for n in m.graph.node)
        yield from (("weight", t.name, t.SerializeToString()) for t in m.graph.initializer)
        yield from (("value", v.name, v.SerializeToString()) for v in [*m.graph.input, *m.graph.output, *m.graph.value_info])
        yield from (("meta", e.key, e.value.encode()) for e in m.metadata_props)
    x, y = set(parts(a)), set(parts(b))
    return {(kind, name) for kind, name, _ in x ^ y}


# ---- hand-made networks ----
def network(nodes, inits, shape, out_shape, opset=13, ir=7, extra=()):
    g = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                          [helper.make_tensor_value_info("y", TensorProto.FLOAT, out_shape), *extra],
                          [numpy_helper.from_array(np.asarray(v), k) for k, v in inits.items()])
    m = helper.make_model(g, opset_imports=[helper.make_opsetid("", opset)])
    m.ir_version = ir
    return m


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def perceptron(opset=13):
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Gemm", ["f", "w0", "b0"], ["h0"], transB=1),
             helper.make_node("Relu", ["h0"], ["r0"]), helper.make_node("Gemm", ["r0", "w1", "b1"], ["h1"], transB=1),
             helper.make_node("Relu", ["h1"], ["r1"]), helper.make_node("Gemm", ["r1", "w2", "b2"], ["y"], transB=1, name="last")]
    inits = {"w0": normal(20, 48), "b0": normal(20), "w1": normal(12, 20), "b1": normal(12), "w2": normal(7, 12), "b2": normal(7)}
    return network(nodes, inits, [1, 3, 4, 4], [1, 7], opset)


# ---- the head ----
def only_the_head_differs():
    for path in [FASHION, *real("resnet20_cifar10"), *real("smallcnn_cifar10_winml"), *real("squeezenet1.1_imagenet"),
                 *real("mobilenet_v1_0.25_224_imagenet")]:
        old, head = onnx.load(path), json.loads(run("inspect", path, "--json").stdout)["head"]
        new = edit(path, "--replace-head", 13)
        outputs = {o.name for o in old.graph.output}
        after = {v.name for v in old.graph.value_info} | outputs
        allowed = {("weight", head["weight"]), ("weight", head["bias"]), ("value", head["weight"]), ("value", head["bias"]),
                   *(("meta", k) for k in ("tvc.labels", "names", "class_names"))} | {("value", v) for v in after}
        check(f"{path}: only the head differs", differences(old, new) <= allowed, differences(old, new) - allowed)
        w = weights(new)[head["weight"]]
        check(f"{path}: 13 classes", 13 in w.shape and head["in_features"] in w.shape, w.shape)
        bound = 1 / np.sqrt(head["in_features"])
        check(f"{path}: PyTorch's default initialisation", np.abs(w).max() <= bound and abs(w.std() / bound * np.sqrt(3) - 1) < 0.1)
    edit(FASHION, "--replace-head", 4, "--seed", 1)
    one = open(OUT, "rb").read()
    edit(FASHION, "--replace-head", 4, "--seed", 1)
    check("the same seed gives the same bytes", one == open(OUT, "rb").read())
    edit(FASHION, "--replace-head", 4, "--seed", 2)
    check("another seed gives others", one != open(OUT, "rb").read())


def other_users_keep_the_weight():
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"]), helper.make_node("ReduceSum", ["w", "axes"], ["s"]),
             helper.make_node("Identity", ["w"], ["w again"])]
    extra = [helper.make_tensor_value_info("s", TensorProto.FLOAT, [1, 5])]
    m = network(nodes, {"w": normal(4, 5), "b": normal(5), "axes": np.array([0])}, [1, 4], [1, 5], extra=extra)
    new = edit(save(m), "--replace-head", 9)
    check("the old weight stays for its other user", np.array_equal(weights(new)["w"], weights(m)["w"]))
    check("the head has one of its own", weights(new)[new.graph.node[0].input[1]].shape == (4, 9), new.graph.node[0])
    check("what was unused before stays", any(n.output[0] == "w again" for n in new.graph.node))


def class_counts_after_the_head():
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["c"]), helper.make_node("Relu", ["c"], ["r"]),
             helper.make_node("GlobalAveragePool", ["r"], ["p"]), helper.make_node("Reshape", ["p", "shape"], ["q"]),
             helper.make_node("Softmax", ["q"], ["y"], axis=1)]
    m = network(nodes, {"w": normal(6, 3, 1, 1), "b": normal(6), "shape": np.array([1, 6])}, [1, 3, 5, 5], [1, 6])
    new = edit(save(m), "--replace-head", 4)
    check("a Reshape after the head counts the new classes", weights(new)["shape"].tolist() == [1, 4])
    agree("Reshape after the head")
    nodes[3:4] = [helper.make_node("Flatten", ["p"], ["f"]), helper.make_node("Mul", ["f", "scale"], ["q"])]
    m = network(nodes, {"w": normal(6, 3, 1, 1), "b": normal(6), "scale": normal(1, 6)}, [1, 3, 5, 5], [1, 6])
    edit(save(m), "--head", "c", "--replace-head", 4, code=4, says="after the head")


def weights_behind_operators():
    chains = {"Transpose": ([helper.make_node("Transpose", ["w"], ["v"], perm=[1, 0])], normal(5, 4)),
              "Reshape": ([helper.make_node("Reshape", ["w", "s"], ["v"])], normal(2, 2, 5)),
              "Identity": ([helper.make_node("Identity", ["w"], ["u"]), helper.make_node("Identity", ["u"], ["v"])], normal(4, 5)),
              "Cast": ([helper.make_node("Cast", ["w"], ["v"], to=1)], normal(4, 5).astype(np.float16)),
              "ConstantOfShape": ([helper.make_node("ConstantOfShape", ["s"], ["v"])], None)}
    for name, (chain, w) in chains.items():
        nodes = [*chain, helper.make_node("MatMul", ["x", "v"], ["m"]), helper.make_node("Add", ["b", "m"], ["y"])]
        inits = {"b": normal(5)} | ({} if w is None else {"w": w})
        inits |= {"s": np.array([4, 5])} if any("s" in n.input for n in chain) else {}
        new = edit(save(network(nodes, inits, [1, 4], [1, 5])), "--replace-head", 3)
        check(f"weights behind {name}: the chain is gone", [n.op_type for n in new.graph.node] == ["MatMul", "Add"])
        check(f"weights behind {name}: and what only it used", len(new.graph.initializer) == 2)
        agree(f"weights behind {name}")


def deeper_heads():
    for path in [FASHION, *real("squeezenet1.1_imagenet"), *real("mnist_cntk_winml"), *real("smallcnn_cifar10_winml")]:
        old = onnx.load(path)
        new = edit(path, "--replace-head", 10, "--head-hidden", "16,8", "--head-dropout", "0.25")
        ops = [n.op_type for n in new.graph.node]
        added = {op: ops.count(op) - sum(n.op_type == op for n in old.graph.node) for op in set(ops)}
        layer = json.loads(run("inspect", path, "--json").stdout)["head"]["kind"]
        check(f"{path}: two hidden layers", added[layer] == 2 and added["Relu"] == 2 and added["Dropout"] == 2, added)
        check(f"{path}: the last reads the last hidden one", json.loads(run("inspect", OUT, "--json").stdout)["head"]["in_features"] == 8)
        agree(f"{path} with hidden layers")
    new = edit(save(perceptron()), "--replace-head", 3, "--head-scope", "module", "--head-hidden", 6)
    check("module: all layers are new", sorted(weights(new)[n.input[1]].shape for n in new.graph.node if n.op_type == "Gemm")
          == [(3, 6), (6, 48)] and "w0" not in weights(new) and "w1" not in weights(new))
    agree("a whole module replaced")
    new = edit(save(perceptron()), "--replace-head", 3)
    check("last: the others stay", weights(new)["w1"].shape == (12, 20) and weights(new)["w2"].shape == (3, 12))
    new = edit(save(perceptron()), "--head", "w1", "--replace-head", 12)
    check("--head by weight", differences(perceptron(), new) >= {("weight", "w1")} and weights(new)["w1"].shape == (12, 20))
    check("--head by PyTorch's module", weights(edit(FASHION, "--head", "fc", "--replace-head", 4))["fc.weight"].shape == (4, 96))
    edit(save(perceptron()), "--head", "x", "--replace-head", 12, code=2)


def features():
    cut = edit(save(perceptron(11)), "--cut", "r1")
    check("a cut drops what follows", [o.name for o in cut.graph.output] == ["r1"] and "w2" not in weights(cut))
    x = feed_for(cut)
    full = perceptron(11)
    full.graph.output.append(helper.make_tensor_value_info("r1", TensorProto.FLOAT, [1, 12]))
    check("its value is the same", True)
    os.replace(OUT, f"{FOLDER.name}/cut.onnx")
    new = edit(f"{FOLDER.name}/cut.onnx", "--replace-head", 5, "--head-dropout", "0.5")
    check("a hidden layer's end is no head: one is appended", [n.op_type for n in new.graph.node][-2:] == ["Dropout", "Gemm"])
    check("ten classes of features", [d.dim_value for d in new.graph.output[0].type.tensor_type.shape.dim] == [1, 5])
    agree("a head appended to a vector")
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Clip", ["c", "lo", "hi"], ["y"])]
    inits = {"w": normal(6, 3, 1, 1), "lo": np.float32(0), "hi": np.float32(6)}
    new = edit(save(network(nodes, inits, ["N", 3, 5, 5], ["N", 6, 5, 5])), "--replace-head", 5)
    check("and to a picture", [n.op_type for n in new.graph.node][-3:] == ["GlobalAveragePool", "Flatten", "Gemm"])
    check("its batch stays free", new.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "N")
    agree("a head appended to a picture")


# ---- input channels ----
def channels():
    for path in [*real("resnet20_cifar10"), *real("squeezenet1.1_imagenet")]:
        old = weights(onnx.load(path))
        first = onnx.load(path).graph.node
        name = next(n.input[1] for n in first if n.op_type == "Conv")
        for init in ("mean", "zero", "fresh"):
            w = weights(edit(path, "--input-channels", 4, "--input-init", init))[name]
            check(f"{path}: the pretrained channels stay", np.array_equal(w[:, :3], old[name]) and w.shape[1] == 4)
            want = {"mean": old[name].mean(1), "zero": 0 * w[:, 3]}.get(init)
            check(f"{path}: the fourth is {init}", want is None or np.allclose(w[:, 3], want, atol=1e-6))
            check(f"{path}: fresh within bounds", init != "fresh" or 0 < np.abs(w[:, 3]).max() <= 1 / np.sqrt(w[0].size))
        agree(f"{path} with four channels")
        w = weights(edit(path, "--input-channels", 1))[name]
        check(f"{path}: one channel is the sum", np.allclose(w[:, 0], old[name].sum(1), atol=1e-5))
        agree(f"{path} with one channel")
    nodes = [helper.make_node("Sub", ["x", "mean"], ["z"]), helper.make_node("Conv", ["z", "w"], ["y"])]
    m = network(nodes, {"mean": normal(1, 3, 1, 1), "w": normal(2, 3, 1, 1)}, [1, 3, 4, 4], [1, 2, 4, 4])
    edit(save(m), "--input-channels", 4, code=4, says="numbers for each channel")


# ---- freezing, batch, inference form ----
def with_metadata(model, frozen):
    model.metadata_props.add(key="tvc.frozen", value=frozen)
    return save(model)


def freezing():
    params = sorted(weights(perceptron()))
    cases = {"all": params, "none": [], "backbone": ["b0", "b1", "w0", "w1"], "w?": ["w0", "w1", "w2"], "b0,last": ["b0", "b2", "w2"]}
    for what, want in cases.items():
        got = sorted(json.loads(metadata(edit(save(perceptron()), "--freeze", what))["tvc.frozen"]))
        check(f"--freeze {what}", got == want, got)
    m = edit(save(perceptron()), "--freeze", "backbone", "--replace-head", 3, "--head-hidden", 5)
    check("backbone leaves all of the new head", sorted(json.loads(metadata(m)["tvc.frozen"])) == ["b0", "b1", "w0", "w1"])
    check("kept only when asked for", "tvc.frozen" not in metadata(edit(save(perceptron()), "--replace-head", 3)))
    edit(save(perceptron()), "--freeze", "layer9*", code=2, says="matches")
    m = edit(with_metadata(perceptron(), '["b0", "gone", 7, "w2"]'), "--freeze", "file,w1")
    check("a list in the file is read, names that are gone left out", sorted(json.loads(metadata(m)["tvc.frozen"])) == ["b0", "w1", "w2"])
    edit(with_metadata(perceptron(), '{"b0": 1}'), "--freeze", "file", code=3, says="no list of names")
    edit(save(perceptron()), "--freeze", "file", code=2, says="has no metadata")


def free_batch():
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Reshape", ["c", "s"], ["f"]),
             helper.make_node("Gemm", ["f", "v"], ["y"])]
    m = network(nodes, {"w": normal(2, 3, 1, 1), "s": np.array([1, 32]), "v": normal(32, 4)}, [1, 3, 4, 4], [1, 4])
    for path in [save(m), *glob.glob(f"{DATA}/onnx_backend/light/light_squeezenet.onnx"),
                 *glob.glob(f"{DATA}/onnx_backend/light/light_resnet50.onnx")]:
        new = edit(path, "--free-batch")
        feed = feed_for(new, 3)
        together = reference(OUT, feed)[0]
        alone = [reference(path, {k: v[i:i + 1] for k, v in feed.items()})[0] for i in range(3)]
        check(f"{path}: three at once as one by one", np.allclose(together, np.concatenate(alone), rtol=1e-3, atol=1e-5))


def inference_form():
    for opset, extra in ((13, ["m2", "v2", "m3", "v3"]), (14, ["m2", "v2"])):
        attr = {"training_mode": 1} if opset >= 14 else {}
        nodes = [helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], ["n", *extra], **attr),
                 helper.make_node("Dropout", ["n", "ratio", "yes"], ["d", "mask"]), helper.make_node("Relu", ["d"], ["y"])]
        inits = {"s": normal(3), "b": normal(3), "m": normal(3), "v": np.abs(normal(3)), "ratio": np.float32(0.5), "yes": np.array(True)}
        m = network(nodes, inits, [2, 3, 4, 4], [2, 3, 4, 4], opset)
        onnx.save(m, f"{FOLDER.name}/made.onnx")
        new = edit(f"{FOLDER.name}/made.onnx", "--eval")
        norm, dropout = new.graph.node[:2]
        check(f"opset {opset}: one output each", len(norm.output) == 1 and len(dropout.output) == 1)
        check(f"opset {opset}: no training_mode", all(a.i == 0 for a in norm.attribute if a.name == "training_mode")
              and "yes" not in [t.name for t in new.graph.initializer])
        agree(f"inference form of opset {opset}")


for part in (only_the_head_differs, other_users_keep_the_weight, class_counts_after_the_head, weights_behind_operators, deeper_heads,
             features, channels, freezing, free_batch, inference_form):
    try:
        part()
    except Exception as e:
        check(part.__name__, False, f"{type(e).__name__}: {str(e)[:600]}")
exit_checks()
