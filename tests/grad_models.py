"""Gradients, loss and the weights after one step of SGD, of whole networks, against PyTorch.

usage: grad_models.py TRAIN_TOOL few|all [NAME ...]
In float64, per tensor, norm(difference) <= 1e-4 norm(gradient); tensors below 1e-9 of the largest are
skipped. In float32 tvc may be at most FACTOR times as far from the float64 gradient as PyTorch is. A value within
rounding of a kink of ReLU or MaxPool falls either way, and takes a gradient with it: then the median of up
to TRIES batches decides. BatchNorm trains or is frozen, its scale and shift not. resnet20 and densenet: also the gradients stored with them.
"""
import os
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnx.numpy_helper
    import torch
    import torchvision.models as zoo
    from training import export, step
except ImportError as e:
    print(f"skipped: {e}: set TVC_PYTHON, or run tools/setup.sh test")
    sys.exit(77)

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.environ.get("TVC_TEST_DATA", os.path.join(HERE, "..", "..", "shared", "data"))
BATCH, CLASSES, FACTOR, TRIES, LR, MOMENTUM = 8, 10, 3, 5, 0.01, 0.9
# Where both are right to the last digits, their distance says nothing.
FLOOR = float(np.finfo(np.float32).eps)


def plain_head(net, features):
    """AlexNet and VGG without the fixed 224 and the many weights of the layers behind the features."""
    net.avgpool = torch.nn.Identity()
    net.classifier = torch.nn.Sequential(torch.nn.Linear(features, 64), torch.nn.ReLU(), torch.nn.Linear(64, CLASSES))
    return net


def still(net):
    for m in net.modules():
        if isinstance(m, torch.nn.Dropout):
            m.p = 0.0
    return net


NETS = {
    "alexnet": (64, lambda: plain_head(zoo.alexnet(), 256)),
    "vgg11_bn": (64, lambda: plain_head(zoo.vgg11_bn(), 2048)),
    "resnet18": (64, lambda: zoo.resnet18(num_classes=CLASSES)),
    "squeezenet1_1": (64, lambda: zoo.squeezenet1_1(num_classes=CLASSES)),
    "densenet121": (64, lambda: zoo.densenet121(num_classes=CLASSES)),
    "inception_v3": (107, lambda: zoo.inception_v3(num_classes=CLASSES, aux_logits=False, init_weights=False)),
    "mobilenet_v3_small": (64, lambda: zoo.mobilenet_v3_small(num_classes=CLASSES)),
}
FEW = ["alexnet", "squeezenet1_1", "mobilenet_v3_small"]      # resnet18 with frozen statistics does not meet the float32 rule yet
STORED = ["resnet20_cifar10", "densenet_bc_40_12_cifar10"]


class Wrong(Exception):
    pass


def norm(a):
    return float(np.linalg.norm(a.astype(np.float64).ravel()))


# ---- PyTorch's side ----
def set_bn(net, mode):
    for m in net.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.train(mode == "train")


def torch_step(net, mode, x, y):
    """Loss, gradients, and what the step leaves behind."""
    net.train()
    set_bn(net, mode)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    opt = torch.optim.SGD(net.parameters(), lr=LR, momentum=MOMENTUM)
    opt.zero_grad()
    loss = torch.nn.functional.cross_entropy(net(x), y)
    loss.backward()
    grads = {k: p.grad.numpy().copy() for k, p in net.named_parameters()}
    opt.step()
    after = {k: v.numpy().copy() for k, v in net.state_dict().items() if v.is_floating_point()}
    net.load_state_dict(before)
    return float(loss), grads, after


# ---- comparison ----
def compare64(what, got, loss, grads, after):
    if abs(got["loss"][0] - loss) > 1e-6 * abs(loss):
        raise Wrong(f"{what}: loss {got['loss'][0]}, not {loss}")
    largest, worst = max(map(norm, grads.values())), 0.0
    for name, g in grads.items():
        if norm(g) < 1e-9 * largest:
            continue
        d = norm(got["momentum/" + name] - g.ravel()) / norm(g)
        worst = max(worst, d)
        if not d <= 1e-4:
            raise Wrong(f"{what}: gradient of {name}: {d:.2e} of its norm {norm(g):.2e}")
    for name, w in after.items():
        if name in got and not norm(got[name] - w.ravel()) <= 1e-6 * norm(w) + 1e-12:
            raise Wrong(f"{what}: {name} after the step: {norm(got[name] - w.ravel()):.2e} of {norm(w):.2e}")
    return worst


def compare32(got, theirs, exact):
    """Per tensor, how many times as far from float64 as PyTorch's."""
    largest = max(map(norm, exact.values()))
    return {name: norm(got["momentum/" + name] - g.ravel()) / max(norm(theirs[name] - g), FLOOR * norm(g))
            for name, g in exact.items() if norm(g) >= 1e-9 * largest}


# ---- torchvision's ----
def in_type(net, state, dtype, mode, x, y):
    """PyTorch's step of the network as `state` has it, in another type; the network is left as it was."""
    net.to(dtype).load_state_dict(state)
    return torch_step(net, mode, x.to(dtype), y)


def check_mode(tool, name, net, mode, folder):
    size, path, target = NETS[name][0], os.path.join(folder, name + ".onnx"), torch.arange(BATCH) % CLASSES
    state = {k: v.clone() for k, v in net.state_dict().items()}
    options = dict(bn=mode, lr=LR, momentum=MOMENTUM)
    batches = [torch.randn(BATCH, 3, size, size) for _ in range(TRIES)]
    exact = in_type(net, state, torch.float64, mode, batches[0], target)
    export(net, batches[0].double(), path)
    got = step(tool, path, folder, batches[0].double().numpy(), target.numpy(), BATCH, **options)
    worst64 = compare64(f"{name} {mode} f64", got, *exact)
    net.float().load_state_dict(state)
    export(net, batches[0], path)
    tried = []
    for x in batches:
        exact, theirs = (in_type(net, state, t, mode, x, target)[1] for t in (torch.float64, torch.float32))
        got = step(tool, path, folder, x.numpy(), target.numpy(), BATCH, **options)
        tried.append(compare32(got, theirs, exact))
        worst32, tensor_of_worst = max((float(np.median([t[k] for t in tried])), k) for k in tried[0])
        if worst32 <= FACTOR:
            break
    net.float().load_state_dict(state)
    if worst32 > FACTOR:
        raise Wrong(f"{name} {mode} f32: gradient of {tensor_of_worst}: {worst32:.1f} times as far from float64 as PyTorch's")
    print(f"{name} {mode}: float64 {worst64:.1e}; float32 {worst32:.2f} times PyTorch's distance ({len(tried)} batches)", flush=True)


def check_net(tool, name, folder):
    size, make = NETS[name]
    torch.manual_seed(1)
    net = still(make()).train()
    with torch.no_grad():                              # statistics that fit the data, as a trained network has
        for _ in range(30):
            net(torch.randn(BATCH, 3, size, size))
    has_bn = any(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules())
    for mode in ["train", "stats"] if has_bn else ["train"]:
        check_mode(tool, name, net, mode, folder)


# ---- stored gradients ----
def tensor(path):
    t = onnx.TensorProto()
    with open(path, "rb") as f:
        t.ParseFromString(f.read())
    return onnx.numpy_helper.to_array(t)


def check_stored(tool, name, folder):
    ref = os.path.join(DATA, "models", name, "train_ref")
    if not os.path.isdir(ref):
        print(f"{name}: skipped, no {ref}")
        return
    x, y = tensor(os.path.join(ref, "input_0.pb")), tensor(os.path.join(ref, "labels.pb"))
    for mode, stored, bound in [("train", "train_bn", 1e-4), ("stats", "frozen_bn", 2e-2)]:
        got = step(tool, os.path.join(DATA, "models", name, "model.onnx"), folder, x, y, len(x), bn=mode, lr=LR, momentum=MOMENTUM)
        worst = 0.0
        for file in sorted(os.listdir(os.path.join(ref, stored, "grad"))):
            g, p = tensor(os.path.join(ref, stored, "grad", file)), file[:-3]
            d = float(np.abs(got["momentum/" + p] - g.ravel()).max() / np.abs(g).max())
            worst = max(worst, d)
            if not d <= bound:
                raise Wrong(f"{name} {stored}: gradient of {p}: {d:.2e} of its largest")
        for file in sorted(os.listdir(os.path.join(ref, stored, "after_sgd"))):
            w, p = tensor(os.path.join(ref, stored, "after_sgd", file)), file[:-3]
            if p in got and not norm(got[p] - w.ravel()) <= 1e-4 * norm(w):
                raise Wrong(f"{name} {stored}: {p} after the step")
        print(f"{name} {stored}: {worst:.1e} of the largest", flush=True)


def main():
    tool, which, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    names = names or STORED + (FEW if which == "few" else list(NETS))
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            try:
                (check_stored if name in STORED else check_net)(tool, name, folder)
            except (Wrong, RuntimeError) as e:
                print(e, flush=True)
                failed += 1
    sys.exit(failed != 0)


main()
