"""tvc compile --train and check --train: what they say, that it is so, and an application that trains from a package.

usage: train_plan.py TVC TRAINER COUNT_ALLOCATIONS|none SOURCE
"""
import json
import os
import subprocess
import sys
import tempfile

from checks import needed

with needed():
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

TVC, TRAINER, COUNT, SOURCE = sys.argv[1:5]
DATA = os.environ.get("TVC_TEST_DATA", os.path.join(SOURCE, "..", "shared", "data"))
FASHION = os.path.join(SOURCE, "examples", "fashion", "fashion7.onnx")


def tvc(*words, code=0):
    p = subprocess.run([TVC, *words], capture_output=True, text=True)
    assert p.returncode == code, f"{words}: {p.returncode}\n{p.stdout}{p.stderr}"
    return p


def told(*words, code=0):
    return json.loads(tvc(*words, "--json", code=code).stdout)


def functions(plan):
    return {f["name"]: f for f in plan["functions"]}


# ---- what a plan says ----

def networks():
    """(file, least size of a batch): those at hand."""
    found = [FASHION]
    for name in ("resnet20_cifar10", "densenet_bc_40_12_cifar10", "squeezenet1.1_imagenet", "mobilenet_v2_1.0_224_imagenet"):
        folder = os.path.join(DATA, "models", name)
        found += sorted(os.path.join(folder, f) for f in os.listdir(folder) if f.endswith(".onnx"))[:1] if os.path.isdir(folder) else []
    return found


def saved_of_frozen(plan):
    """Scratch of train_step made of pictures or features without any trained parameter, read by what the loss is not made of."""
    rates = ("tvc.", "lr.", "momentum.", "weight_decay.")
    seen = {s["buffer"] for s in plan["plan"]["slots"] if s["role"] == "input" and not s["name"].startswith(rates)}
    params = {s["buffer"] for s in plan["plan"]["slots"] if s["role"] in ("param", "state")}
    loss = [s["buffer"] for s in plan["plan"]["slots"] if s["name"] == "tvc.loss"]
    steps, arena = plan["plan"]["train_step"], [b["space"] == "arena" for b in plan["plan"]["buffers"]]
    needed, before, moving = set(loss), [], set(params)
    for s in reversed(steps):
        early = bool(needed & set(s["writes"]))
        needed |= set(s["reads"]) if early else set()
        before.append(early)
    before.reverse()
    still, total = set(), 0
    for s, early in zip(steps, before):
        if moving & set(s["reads"]):
            moving |= set(s["writes"])
        elif early and seen & set(s["reads"]):
            still |= set(s["writes"])
            seen |= set(s["writes"])
    later = {b for s, early in zip(steps, before) if not early for b in s["reads"]}
    return sum(plan["plan"]["buffers"][b]["bytes"] for b in still & later if arena[b])


def frozen_backbones():
    for file in networks():
        name = os.path.basename(os.path.dirname(file)) + "/" + os.path.basename(file)
        head = told("compile", file, "--train", "--replace-head", "5", "--batch", "4")
        f = functions(head)
        assert list(f) == ["init", "forward", "train_step", "features"], f
        assert saved_of_frozen(head) == 0, f"{name}: {saved_of_frozen(head)} bytes of the frozen part are kept"
        # What the head itself needs: rows of features it is applied to, scores. Nothing of the size of an image.
        assert head["saved_bytes"] <= 4 * 64 * 1024, f"{name}: {head['saved_bytes']}"
        assert f["features"]["kernels"] > f["train_step"]["kernels"] / 10 and f["features"]["arena_bytes"] > 0
        assert 0.3 < head["frozen_share"] < 1
        print(f"{name}: head only saves {head['saved_bytes']} bytes, frozen {head['frozen_share']:.3f}", flush=True)


def whole_network():
    full = told("compile", FASHION, "--train", "--recipe", "full", "--batch", "64")
    f = functions(full)
    assert f["features"]["kernels"] == 0 and full["saved_bytes"] > 0 and full["frozen_share"] < 0.05, full
    assert saved_of_frozen(full) == 0 and full["saved_bytes"] <= f["train_step"]["arena_bytes"]
    half = told("compile", FASHION, "--train", "--recipe", "full", "--batch", "32")
    assert 0.4 < half["saved_bytes"] / full["saved_bytes"] < 0.6, (half["saved_bytes"], full["saved_bytes"])
    text = tvc("compile", FASHION, "--train", "--batch", "4").stdout
    assert all(word in text for word in ("init", "features", "forward", "train_step", "saved", "frozen")), text


def refusals():
    for words, part in ((["--lr", "1"], "--train"), (["--train", "--class-weights", "auto"], "numbers"),
                        (["--train", "--freeze", "all"], "nothing to train"), (["--train", "--class-weights", "1,2"], "7 numbers")):
        p = tvc("compile", FASHION, *words, code=2)
        assert part in p.stderr and p.stderr.count("\n") == 1, p.stderr


# ---- what has no gradient ----

def tensor(name, *shape):
    return numpy_helper.from_array(np.random.default_rng(len(name)).standard_normal(shape).astype(np.float32), name)


def model(path, nodes, inits, shape, out):
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)], inits)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 26)]), path)


def with_gaps(folder):
    """Bits read as a number, which have no gradient: behind the first layer of two; a second one behind the second of three; one nothing can avoid."""
    layer = lambda i, x, y: [helper.make_node("MatMul", [x, f"block{i}.weight"], [f"m{i}"], f"/fc{i}"),
                             helper.make_node("Relu", [f"m{i}"], [y], f"/relu{i}")]
    gap = lambda name, x, y: [helper.make_node("BitCast", [x], [y], name, to=TensorProto.FLOAT)]
    first = os.path.join(folder, "first.onnx")
    model(first, layer(1, "x", "a") + gap("/pick", "a", "b") + layer(2, "b", "c") + layer(3, "c", "y"),
          [tensor("block1.weight", 6, 8), tensor("block2.weight", 8, 5), tensor("block3.weight", 5, 3)], ["N", 6], ["N", 3])
    both = os.path.join(folder, "both.onnx")
    model(both, layer(1, "x", "a") + gap("/pick", "a", "b") + layer(2, "b", "c") + gap("/again", "c", "d") + layer(3, "d", "y"),
          [tensor("block1.weight", 6, 8), tensor("block2.weight", 8, 5), tensor("block3.weight", 5, 3)], ["N", 6], ["N", 3])
    last = os.path.join(folder, "last.onnx")
    model(last, layer(1, "x", "a") + gap("/pick", "a", "y"), [tensor("block1.weight", 6, 8)], ["N", 6], ["N", 8])
    return first, both, last


def gaps(folder):
    first, both, last = with_gaps(folder)
    for file, names, freeze in ((first, ["/pick"], "block1.*"), (both, ["/pick", "/again"], "block1.*,block2.*")):
        words = ["check", file, "--train", "--recipe", "full"]
        found = told(*words, code=1)
        assert not found["trainable"] and sorted(g["node"] for g in found["no_gradient"]) == sorted(names), found
        assert {g["operator"] for g in found["no_gradient"]} == {"BitCast"} and found["freeze"] == freeze, found
        text = tvc(*words, code=1).stdout
        assert "BitCast '/pick' has no gradient" in text and f"--freeze '{freeze}'" in text, text
        p = subprocess.run([TVC, "compile", *words[1:]], capture_output=True, text=True)
        assert p.returncode and "no gradient" in p.stderr, p.stderr           # as it said
        words += ["--freeze", found["freeze"]]
        after = told(*words)
        assert after["trainable"] and after["parameters"] == 3 - freeze.count("block"), after
        tvc("compile", *words[1:])                                             # and so it works
    found = told("check", last, "--train", "--recipe", "full", code=1)
    assert found["freeze"] is None and not found["trainable"], found
    assert "no --freeze leaves anything" in tvc("check", last, "--train", "--recipe", "full", code=1).stdout
    fine = told("check", FASHION, "--train", "--recipe", "full")
    assert fine["trainable"] and fine["no_gradient"] == fine["behind"] == fine["never_reached"] == [], fine
    assert "every operator is known" in tvc("check", FASHION).stdout


# ---- an application ----

def application(folder):
    package = os.path.join(folder, "learner.tvc")
    tvc("compile", FASHION, "--train", "--replace-head", "2", "--batch", "16", "-o", package)
    env = dict(os.environ, LD_PRELOAD=COUNT) if COUNT != "none" else os.environ
    p = subprocess.run([TRAINER, package], capture_output=True, text=True, env=env)
    assert p.returncode == 0, p.stderr
    lines = p.stdout.splitlines()
    loss = [float(s.split()[3]) for s in lines if s.startswith("step")]
    assert len(loss) == 40 and loss[-1] < loss[0] / 2, loss
    right = next(s for s in lines if s.startswith("right")).split()
    assert int(right[1]) >= 15 and right[3] == "16", right
    if COUNT != "none":
        counts = [int(s.split()[1]) for s in p.stderr.splitlines() if s.startswith("allocations")]
        assert len(counts) == 41 and counts[0] > 0 and counts[1:40] == [0] * 39, counts
    on_gpu(folder, loss)
    tvc("compile", FASHION, "--train", "--replace-head", "3", "--batch", "16", "-o", package)
    for path in (FASHION, package):
        p = subprocess.run([TRAINER, path], capture_output=True, text=True)
        assert p.returncode == 1 and p.stderr.count("\n") == 1, p.stderr


def on_gpu(folder, loss):
    """The application on the stand-in of a GPU learns the same."""
    if "GPU_DRIVER" not in os.environ or os.uname().machine != "x86_64":
        return
    package = os.path.join(folder, "gpu.tvc")
    around = dict(os.environ, TVC_CUDA=os.environ["GPU_DRIVER"], TVC_NVRTC=os.environ["GPU_NVRTC"], TVC_CUBLASLT="")
    words = [TVC, "compile", FASHION, "--train", "--replace-head", "2", "--batch", "16", "--target", "cuda:sm_90", "-q", "-o", package]
    subprocess.run(words, check=True, env=around, stdout=subprocess.DEVNULL)
    p = subprocess.run([TRAINER, package], capture_output=True, text=True, env=around)
    there = [float(s.split()[3]) for s in p.stdout.splitlines() if s.startswith("step")]
    assert p.returncode == 0 and len(there) == len(loss) and all(abs(a - b) <= 2e-3 for a, b in zip(there, loss)), (there, loss, p.stderr)


def several_targets(folder):
    """A package for two kinds of processor trains as the one for the better of them does."""
    one, both = (os.path.join(folder, name) for name in ("one.tvc", "both.tvc"))
    words = ["compile", FASHION, "--train", "--replace-head", "2", "--batch", "16"]
    native = told(*words, "-o", one)["target"]
    said = told(*words, "--target", "cpu:generic", "--target", native, "-o", both)
    assert [said["target"]] + [t["target"] for t in said["more_targets"]] == ["cpu:generic", native], said
    assert os.path.getsize(both) > os.path.getsize(one)
    ran = [subprocess.run([TRAINER, package], capture_output=True, text=True) for package in (one, both)]
    assert ran[0].returncode == 0 and ran[0].stdout == ran[1].stdout, ran


with tempfile.TemporaryDirectory() as place:
    refusals()
    gaps(place)
    application(place)
    several_targets(place)
    whole_network()
    frozen_backbones()
print("plans, gaps and the application: right")
