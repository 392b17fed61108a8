"""The head finder and the new head over real networks, judged by ONNX Runtime.

usage: heads.py TVC light|few|all [NAME ...]
  light: the light and the real models of the test data; few: small networks of
  torchvision's families; all: every torchvision classifier below LARGEST parameters.

Each network is taken in evaluation form and (torchvision's) in training form. For each:
the head found is the layer it should be; so it is when every name is replaced by n1, n2, ...;
after --replace-head 10 (--eval for training form) the onnx checker accepts the file, every output
counts ten classes, and ONNX Runtime and tvc agree to rtol 1e-3, atol 1e-4.
Feature extractors, cut from networks, have no head; what --replace-head appends is checked alike.
Skipped (exit 77) without onnx and onnxruntime; torchvision's networks also without it.
"""
import json
import os
import subprocess
import sys
import tempfile
import warnings

from checks import needed

with needed():
    import numpy as np
    import onnx
    import onnx.numpy_helper
    import onnxruntime

warnings.simplefilter("ignore")
HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.environ.get("TVC_TEST_DATA", os.path.join(HERE, "..", "..", "shared", "data"))
LARGEST = 150e6
CLASSES = 10
rng = np.random.default_rng(1)

# ---- what the head should be: the last layer's module, as torchvision calls it ----
MODULES = {"alexnet": "classifier.6", "vgg": "classifier.6", "squeezenet": "classifier.1", "densenet": "classifier",
           "inception": "fc", "googlenet": "fc", "mobilenet_v2": "classifier.1", "mobilenet_v3": "classifier.3",
           "mnasnet": "classifier.1", "efficientnet": "classifier.1", "convnext": "classifier.2", "vit": "heads.head",
           "swin": "head", "maxvit": "classifier.5", "resn": "fc", "wide_resnet": "fc", "shufflenet": "fc", "regnet": "fc"}
AUXILIARY = {"inception_v3": ["AuxLogits.fc"], "googlenet": ["aux1.fc2", "aux2.fc2"]}
FEW = ["squeezenet1_1", "resnet18", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x0_5", "inception_v3"]
# op, features, classes of the layer, and its place in the file
REAL = {"squeezenet1.1_imagenet": ("Conv", 512, 1000), "mobilenet_v2_1.0_224_imagenet": ("Gemm", 1280, 1000),
        "mobilenet_v1_0.25_224_imagenet": ("Gemm", 256, 1000), "resnet20_cifar10": ("Gemm", 64, 10),
        "densenet_bc_40_12_cifar10": ("Gemm", 132, 10), "smallcnn_cifar10_winml": ("Gemm", 2400, 10),
        "mnist_cntk_winml": ("MatMul", 256, 10)}
LIGHT = {"light_bvlc_alexnet": ("Gemm", 4096, 1000), "light_densenet121": ("Conv", 1024, 1000),
         "light_inception_v1": ("Gemm", 1024, 1000), "light_inception_v2": ("Gemm", 1024, 1000),
         "light_resnet50": ("Gemm", 2048, 1000), "light_shufflenet": ("Gemm", 544, 1000),
         "light_squeezenet": ("Conv", 512, 1000), "light_vgg19": ("Gemm", 4096, 1000), "light_zfnet512": ("Gemm", 1024, 1000)}


class Wrong(Exception):
    pass


def expect(holds, message):
    if not holds:
        raise Wrong(message)


def tvc(*args):
    r = subprocess.run([TVC, *map(str, args)], capture_output=True, text=True, timeout=600)
    expect(r.returncode == 0, f"tvc {' '.join(map(str, args))}: exit {r.returncode}: {r.stderr.strip()[-300:]}")
    return r.stdout


def inspect(path):
    return json.loads(tvc("inspect", path, "--json", "-q"))


def renamed(model):
    """The same network with nothing left in its names, and the new name of each old one."""
    names = {"": ""}

    def new(old):
        return names.setdefault(old, f"n{len(names)}")

    m = onnx.ModelProto()
    m.CopyFrom(model)
    g = m.graph
    g.name = "g"
    for node in g.node:
        node.name = new("node " + node.name) if node.name else ""
        node.input[:] = [new(x) for x in node.input]
        node.output[:] = [new(x) for x in node.output]
    for item in [*g.initializer, *g.input, *g.output]:
        item.name = new(item.name)
    del g.value_info[:]
    return m, names


def random_feed(model):
    known = {i.name for i in model.graph.initializer}
    feed = {}
    for v in model.graph.input:
        if v.name not in known:
            shape = [d.dim_value or 1 for d in v.type.tensor_type.shape.dim]
            feed[v.name] = rng.standard_normal(shape).astype(np.float32)
    return feed


def reference(path, feed, optimized=True):
    """The outputs' names and what ONNX Runtime makes of them."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return [v.name for v in session.get_outputs()], session.run(None, feed)


def check_agreement(path, folder):
    """ONNX Runtime and tvc on the same input; every output has the new number of classes. Some untrained networks make
    much of little: these may differ by a few times what ONNX Runtime's own optimizations change."""
    model = onnx.load(path)
    feed = random_feed(model)
    names, want = reference(path, feed)
    args = []
    for k, (name, x) in enumerate(feed.items()):
        np.save(f"{folder}/in{k}.npy", x)
        args += ["--input", f"{name}={folder}/in{k}.npy"]
    tvc("run", path, *args, "--dump", f"{folder}/out", "-q")
    for k, (name, w) in enumerate(zip(names, want)):
        got = np.load(f"{folder}/out/{name.replace('/', '_')}.npy")
        expect(CLASSES in w.shape[1:], f"output {name} has shape {w.shape}")
        expect(got.shape == w.shape, f"output {name}: {got.shape} is not {w.shape}")
        if not np.allclose(got, w, rtol=1e-3, atol=1e-4):
            off, own = np.abs(got - w).max(), np.abs(reference(path, feed, False)[1][k] - w).max()
            expect(off <= 4 * own, f"output {name} differs by {off}, where ONNX Runtime itself does by {own}")


def replace_and_check(path, folder, *options):
    out = f"{folder}/edited.onnx"
    tvc("edit", path, "--replace-head", CLASSES, *options, "-o", out, "-q")
    onnx.checker.check_model(onnx.load(out), full_check=True)
    check_agreement(out, folder)
    os.unlink(out)


def check_head(path, folder, judge, training=False):
    """judge(number, head's description, its node, the model) raises where it is the wrong one."""
    model = onnx.load(path)
    said = inspect(path)
    by_name = {n.name or n.output[0]: n for n in model.graph.node}
    expect(said["head"], f"no head: {said.get('head_why')}")
    for k, head in enumerate(said["heads"]):
        judge(k, head, by_name[head["node"]], model)
    blind, names = renamed(model)
    onnx.save(blind, f"{folder}/blind.onnx")
    again = inspect(f"{folder}/blind.onnx")
    outputs = [names[by_name[h["node"]].output[0]] for h in said["heads"]]
    blind_by_name = {n.name or n.output[0]: n for n in blind.graph.node}
    found = [blind_by_name[h["node"]].output[0] for h in again["heads"]]
    expect(found == outputs, f"without names the heads are {found}, not {outputs}")
    form = ["--eval"] if training else []
    replace_and_check(path, folder, *form)
    replace_and_check(f"{folder}/blind.onnx", folder, *form)


# ---- the light and the real ones ----
def by_table(op, features, classes):
    def judge(k, head, node, model):
        expect(k == 0, "more than one head")
        got = (node.op_type, head["in_features"], head["classes"])
        expect(got == (op, features, classes), f"the head is {got}, not {(op, features, classes)}")
    return judge


def light_rows():
    for name, row in REAL.items():
        yield name, lambda folder, n=name, r=row: check_head(f"{DATA}/models/{n}/model.onnx", folder, by_table(*r))
    yield "resnet20 (raw)", lambda folder: check_head(f"{DATA}/models/resnet20_cifar10/model_torch_raw_export.onnx", folder,
                                                       by_table("Gemm", 64, 10))
    for name, row in LIGHT.items():
        yield name, lambda folder, n=name, r=row: check_head(f"{DATA}/onnx_backend/light/{n}.onnx", folder, by_table(*r))
    cuts = [("mobilenet_v2_1.0_224_imagenet", "GlobalAveragePool"), ("mobilenet_v1_0.25_224_imagenet", "GlobalAveragePool"),
            ("resnet20_cifar10", "Flatten"), ("densenet_bc_40_12_cifar10", "Flatten"), ("mobilenet_v2_1.0_224_imagenet", "Clip")]
    for name, op in cuts:
        yield f"{name} cut at {op}", lambda folder, n=name, o=op: check_features(f"{DATA}/models/{n}/model.onnx", folder, o)


def check_features(path, folder, op):
    node = [n for n in onnx.load(path).graph.node if n.op_type == op][-1]
    cut = f"{folder}/features.onnx"
    tvc("edit", path, "--cut", node.output[0], "-o", cut, "-q")
    onnx.checker.check_model(onnx.load(cut), full_check=True)
    said = inspect(cut)
    expect(said["head"] is None and said["heads"] == [] and said["head_why"], f"a head in features: {said['head']}")
    replace_and_check(cut, folder)


# ---- torchvision's ----
def small_network(name):
    """An untrained network whose BatchNormalizations fit its values, and an input as small as it takes.
    Without stochastic depth, which torch cannot export."""
    import torch
    import torchvision
    side, options = 64, {}
    if name.startswith(("vit", "maxvit")):
        side = 32 if name.startswith("vit") else 224
        options = {"image_size": 32} if name.startswith("vit") else {"input_size": (224, 224)}
    if name.startswith(("alexnet", "vgg")):           # torch exports their pooling only where it is none
        side = 224
    if name in AUXILIARY:
        side, options = 299 if name == "inception_v3" else 256, {"init_weights": False}
    torch.manual_seed(0)
    net = getattr(torchvision.models, name)(**options)
    if name.startswith("vit"):                        # torchvision leaves its head at zero
        torch.nn.init.normal_(net.heads.head.weight, 0, 0.02)
    x = torch.randn(4 if side > 200 else 16, 3, side, side)
    for m in net.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.momentum = 1.0
        if isinstance(m, torchvision.ops.StochasticDepth):
            m.p = 0.0
    net.train()
    with torch.no_grad():
        net(x)
    for m in net.modules():                           # the exporter runs the network again, on fewer values
        if isinstance(m, torch.nn.BatchNorm2d):
            m.momentum = 0.0
    return net, x


def numbers_of(model, value):
    """The initializer a value comes from, through Identity and Transpose."""
    while True:
        for t in model.graph.initializer:
            if t.name == value:
                return onnx.numpy_helper.to_array(t)
        value = next(n for n in model.graph.node if value in n.output).input[0]


def by_module(name, net):
    prefix = max((p for p in MODULES if name.startswith(p)), key=len)
    modules = [MODULES[prefix]] + AUXILIARY.get(name, [])
    wanted = [net.get_submodule(m).weight.detach().numpy().copy() for m in modules]

    def judge(k, head, node, model):
        expect(k < len(modules), f"{k + 1} heads")
        got = numbers_of(model, head["weight"])
        same = any(x.shape == wanted[k].shape and np.array_equal(x, wanted[k]) for x in (got, got.T))
        expect(same, f"the weights of head {k}, {head['weight']}, are not those of {modules[k]}")
        expect(head["classes"] == 1000, f"head {k} has {head['classes']} classes")
    return judge


def check_torchvision(name, folder, training):
    import torch
    net, x = small_network(name)
    x = x[:2] if training else x[:1]                  # a BatchNormalization in training needs two values
    if sum(p.numel() for p in net.parameters()) > LARGEST:
        return "too large"
    path = f"{folder}/net.onnx"
    mode = torch.onnx.TrainingMode.TRAINING if training else torch.onnx.TrainingMode.EVAL
    net.train(training)
    try:
        torch.onnx.export(net, x, path, opset_version=14 if training and not name.startswith("r") else 13, training=mode,
                          do_constant_folding=not training)
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as e:
        return f"torch cannot export it: {str(e).splitlines()[0][:80]}"
    check_head(path, folder, by_module(name, net), training)
    return None


def torchvision_rows(names):
    try:
        import torchvision
    except ImportError as e:
        print(f"skipped: {e}: run tools/setup.sh test")
        sys.exit(77)
    names = names or torchvision.models.list_models(module=torchvision.models)
    for name in names:
        for training in (False, True):
            yield f"{name}, {'training' if training else 'evaluation'} form", \
                lambda folder, n=name, t=training: check_torchvision(n, folder, t)


def main():
    rows = {"light": light_rows, "few": lambda: torchvision_rows(FEW), "all": lambda: torchvision_rows(None)}[sys.argv[2]]
    only = sys.argv[3:]
    if sys.argv[2] == "light" and not os.path.isdir(DATA):
        print(f"skipped: no test data at {DATA}: set TVC_TEST_DATA")
        return 77
    if sys.argv[2] != "light" and only:
        rows = lambda: torchvision_rows(only)
    bad = done = 0
    for title, check in rows():
        if sys.argv[2] == "light" and only and title not in only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                note = check(folder)
            except (Wrong, subprocess.TimeoutExpired, onnx.checker.ValidationError) as e:
                bad += 1
                print(f"WRONG {title}: {e}", flush=True)
                continue
        done += note is None
        print(f"{'skipped' if note else 'right'} {title}{': ' + note if note else ''}", flush=True)
    print(f"{done} rows right, {bad} wrong")
    return bad > 0


TVC = sys.argv[1]
sys.exit(main())
