"""Loss, every gradient and the weights after one step of SGD, of whole networks, against PyTorch.

usage: grad_models.py TRAIN_TOOL few|all [NAME ...]
BatchNorm trains, keeps its statistics ("stats"), or is frozen altogether. Per tensor, norm(difference) is
  float64: at most 1e-4 norm(gradient), against PyTorch in float64;
  float32: at most FACTOR times PyTorch's own distance from its float64 gradient, which counts as FLOOR of the norm
           where it is less: both are then right to the last digits.
Tensors below 1e-9 of the largest are skipped. Parameters and data are moved away from kinks (kinks.py) until no value
is nearer to one than SAFE times PyTorch's rounding error, so that every tensor of every network is held to this rule.
Rounding errors are drawn at random: of a tensor of eight numbers, one of two equally good results is three times nearer
in one of 300 batches. Where a batch says no, up to BATCHES count together: the root of the mean of squared distances.
What stands stored beside resnet20 and densenet is compared as it is, kinks and all: max|d| against max|g|.
"""
import os
import sys
import tempfile

from checks import needed

with needed():
    import numpy as np
    import onnx
    import onnx.numpy_helper
    import torch
    import torch.nn.functional as F
    import torchvision.models as zoo
    import kinks
    import onnx_torch
    from training import export, step

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(os.environ.get("TVC_TEST_DATA", os.path.join(HERE, "..", "..", "shared", "data")), "models")
CLASSES, LR, MOMENTUM = 10, 0.01, 0.9
FACTOR, FLOOR, SAFE, DRIFT, DRAWS, BATCHES = 3, 2 * float(np.finfo(np.float32).eps), 4, 0.05, 60, 4


def plain_head(net, features):
    """AlexNet and VGG without the fixed 224 and the many weights of the layers behind the features."""
    net.avgpool = torch.nn.Identity()
    net.classifier = torch.nn.Sequential(torch.nn.Linear(features, 64), torch.nn.ReLU(), torch.nn.Linear(64, CLASSES))
    return net


def small_inception():
    """Of a small picture 2x2 values reach the auxiliary head's 5x5 convolution, which stands beyond their edge."""
    net = zoo.inception_v3(num_classes=CLASSES, aux_logits=True, init_weights=False)
    net.AuxLogits.conv1 = zoo.inception.BasicConv2d(128, 768, kernel_size=5, padding=2)
    return net


def stored(name):
    return os.path.join(MODELS, name, "model.onnx")


NETS = {                                               # size of pictures, how many, the network
    "alexnet": (64, 4, lambda: plain_head(zoo.alexnet(), 256)),
    "vgg11_bn": (32, 4, lambda: plain_head(zoo.vgg11_bn(), 512)),
    "resnet18": (64, 2, lambda: zoo.resnet18(num_classes=CLASSES)),
    "squeezenet1_1": (64, 2, lambda: zoo.squeezenet1_1(num_classes=CLASSES)),
    "densenet121": (64, 2, lambda: zoo.densenet121(num_classes=CLASSES)),
    "googlenet": (64, 4, lambda: zoo.googlenet(num_classes=CLASSES, aux_logits=True, init_weights=False)),
    "inception_v3": (155, 2, small_inception),
    "mobilenet_v3_small": (64, 4, lambda: zoo.mobilenet_v3_small(num_classes=CLASSES)),
    "resnet20_cifar10": (32, 4, lambda: onnx_torch.Network(stored("resnet20_cifar10"))),
    "densenet_bc_40_12_cifar10": (32, 4, lambda: onnx_torch.Network(stored("densenet_bc_40_12_cifar10"))),
}
STORED = ["resnet20_cifar10", "densenet_bc_40_12_cifar10"]
AUX = {"inception_v3": 0.4, "googlenet": 0.3}              # of auxiliary losses
FEW = STORED + ["alexnet", "resnet18", "squeezenet1_1", "mobilenet_v3_small"]


class Wrong(Exception):
    pass


def norm(a):
    return float(np.linalg.norm(np.asarray(a, np.float64).ravel()))


# ---- PyTorch's side ----
def is_bn(m):
    return isinstance(m, torch.nn.BatchNorm2d)


def set_mode(net, mode):
    """As tvc's --bn; nothing is dropped."""
    net.train()
    net.batch_training = mode == "train"
    for m in net.modules():
        if is_bn(m):
            m.train(mode == "train")
        if isinstance(m, torch.nn.Dropout):
            m.p = 0.0
    for name in batch_norms(net):
        net.get_parameter(name).requires_grad_(mode != "frozen")


def batch_norms(net):
    """Scales and shifts of BatchNorm."""
    if isinstance(net, onnx_torch.Network):
        return [onnx_torch.key_of(i) for n in net.nodes if n.op_type == "BatchNormalization" for i in n.input[1:3]]
    return [f"{path}.{k}" for path, m in net.named_modules() if is_bn(m) for k in ("weight", "bias")]


class Step:
    """What a step of PyTorch's finds and leaves behind; the network is left as it was."""

    def __init__(self, net, x, y, aux):
        before = {k: v.clone() for k, v in net.state_dict().items()}
        trained = {k: p for k, p in net.named_parameters() if p.requires_grad}
        opt = torch.optim.SGD(trained.values(), lr=LR, momentum=MOMENTUM)
        opt.zero_grad()
        scores, *auxiliary = [s for s in as_list(net(x))]
        loss = F.cross_entropy(scores, y) + aux * sum(F.cross_entropy(s, y) for s in auxiliary)
        loss.backward()
        self.loss, self.scores = float(loss), scores.detach().numpy()
        self.grads = {onnx_torch.name_of(k): p.grad.numpy().copy() for k, p in trained.items()}
        opt.step()
        floats = {k: v for k, v in net.state_dict().items() if v.is_floating_point()}
        self.after = {onnx_torch.name_of(k): v.numpy().copy() for k, v in floats.items()}
        net.load_state_dict(before)


def as_list(scores):
    return [scores] if torch.is_tensor(scores) else list(scores)


def in_type(net, state, dtype):
    net.to(dtype).load_state_dict(state)
    return net


# ---- a network away from kinks ----
def watched(net, state, dtype, x):
    return kinks.values_at_kinks(in_type(net, state, dtype), x.to(dtype))


def only_shifts(net, state, x):
    """`state` with its shifts moved; running statistics stay."""
    kinks.clear(in_type(net, state, torch.float64), x)
    kept = dict(net.named_buffers())
    return {k: state[k] if k in kept else v.clone() for k, v in net.state_dict().items()}


def draw_again(net, state, rows):
    """In `state`, rows of weights of `net` a little different."""
    names = {p.data_ptr(): k for k, p in net.named_parameters()}
    for weight, row in rows:
        w = state[names[weight.data_ptr()]][row]
        w += DRIFT * w.std() * torch.randn(w.shape)


def away_from_kinks(what, net, size, batch):
    """Data and a state of the network, both float32, that keep SAFE. Filters near a kink are drawn again."""
    first, x = {k: v.clone() for k, v in net.float().state_dict().items()}, torch.randn(batch, 3, size, size)
    for _ in range(DRAWS):
        state = {k: v.float() if v.is_floating_point() else v for k, v in only_shifts(net, first, x.double()).items()}
        each = kinks.margins(watched(net, state, torch.float64, x), watched(net, state, torch.float32, x))
        if kinks.margin(each) >= SAFE:
            return x, state, kinks.margin(each)
        draw_again(net, first, kinks.near(each, SAFE))
    raise Wrong(f"{what}: after {DRAWS} draws still {kinks.margin(each):.1f} from a kink")


# ---- comparison ----
def counted(grads):
    largest = max(map(norm, grads.values()))
    return {k: g for k, g in grads.items() if norm(g) >= 1e-9 * largest}


def found(got, name, g):
    if "momentum/" + name not in got:
        raise Wrong(f"{name} is not trained")
    return got["momentum/" + name].reshape(g.shape)


def compare64(what, got, exact):
    if abs(got["loss"][0] - exact.loss) > 1e-6 * abs(exact.loss):
        raise Wrong(f"{what}: loss {got['loss'][0]}, not {exact.loss}")
    worst = max((norm(found(got, k, g) - g) / norm(g), k) for k, g in counted(exact.grads).items())
    if not worst[0] <= 1e-4:
        raise Wrong(f"{what}: gradient of {worst[1]}: {worst[0]:.2e} of its norm")
    for k, w in exact.after.items():
        if k in got and not norm(got[k] - w.ravel()) <= 1e-6 * norm(w) + 1e-12:
            raise Wrong(f"{what}: {k} after the step: {norm(got[k] - w.ravel()):.2e} of {norm(w):.2e}")
    return worst[0]


def distances(ours, theirs, exact):
    """Squared: ours, theirs, from what is exact."""
    least = max(FLOOR * norm(exact), 1e-30)
    return np.array([norm(ours.reshape(exact.shape) - exact), max(norm(theirs - exact), least)]) ** 2


def compare32(what, got, theirs, exact, squares):
    """Adds this batch's squared distances to squares; how many times as far the worst is by all of them."""
    moved = norm(theirs.scores - exact.scores) / len(exact.scores) ** 0.5      # as far as the loss may come from them
    least = max(abs(theirs.loss - exact.loss), moved, FLOOR * abs(exact.loss))
    if not abs(got["loss"][0] - exact.loss) <= FACTOR * least:
        raise Wrong(f"{what}: loss {got['loss'][0]}, PyTorch's {theirs.loss}, exactly {exact.loss}")
    now = {"scores": distances(got["scores"], theirs.scores, exact.scores)}
    for k, g in counted(exact.grads).items():
        now["gradient of " + k] = distances(found(got, k, g), theirs.grads[k], g)
    for k in exact.after.keys() & got.keys():
        now[k + " after the step"] = distances(got[k], theirs.after[k], exact.after[k])
    for k, v in now.items():
        squares[k] = squares.get(k, 0) + v
    return max((float(np.sqrt(v[0] / v[1])), k) for k, v in squares.items())


# ---- one network ----
def write(name, net, x, path):
    if name in STORED:
        onnx_torch.update(stored(name), net, path)
    else:
        export(net, x, path)


def both(tool, name, net, mode, state, dtype, x, folder):
    """PyTorch's step and tvc's."""
    path, y = os.path.join(folder, name + ".onnx"), torch.arange(len(x)) % CLASSES
    options = dict(bn=mode, lr=LR, momentum=MOMENTUM, aux=AUX.get(name, 0))
    theirs = Step(in_type(net, state, dtype), x.to(dtype), y, options["aux"])
    write(name, net, x.to(dtype), path)
    set_mode(net, mode)
    return theirs, step(tool, path, folder, x.to(dtype).numpy(), y.numpy(), len(x), **options)


def check_mode(tool, name, net, mode, folder):
    size, batch, _ = NETS[name]
    what, squares = f"{name} {mode}", {}
    set_mode(net, mode)
    start = {k: v.clone() for k, v in net.state_dict().items()}
    for tried in range(1, BATCHES + 1):
        x, state, margin = away_from_kinks(what, in_type(net, start, torch.float32), size, batch)
        exact, ours = both(tool, name, net, mode, state, torch.float64, x, folder)
        worst64 = compare64(f"{what} float64", ours, exact)
        theirs, ours = both(tool, name, net, mode, state, torch.float32, x, folder)
        worst32 = compare32(f"{what} float32", ours, theirs, exact, squares)
        if worst32[0] <= FACTOR:
            break
    else:
        raise Wrong(f"{what} float32: {worst32[1]}: {worst32[0]:.1f} times as far from float64 as PyTorch's")
    print(f"{what}: float64 {worst64:.1e}; float32 {worst32[0]:.2f} times PyTorch's distance ({worst32[1]}); "
          f"{margin:.1f} from the nearest kink; {tried} batches", flush=True)


def check_net(tool, name, folder):
    size, batch, make = NETS[name]
    torch.manual_seed(1)
    net = make()
    start = {k: v.clone() for k, v in net.state_dict().items()}
    set_mode(net, "train")
    if name not in STORED:
        with torch.no_grad():                          # statistics that fit the data, as a trained network has
            for _ in range(30):
                net(torch.randn(8, 3, size, size))
        start = {k: v.clone() for k, v in net.state_dict().items()}
    for mode in ["train", "stats", "frozen"] if batch_norms(net) else ["train"]:
        in_type(net, start, torch.float32)
        check_mode(tool, name, net, mode, folder)


# ---- stored gradients ----
def tensor(path):
    t = onnx.TensorProto()
    with open(path, "rb") as f:
        t.ParseFromString(f.read())
    return onnx.numpy_helper.to_array(t)


def check_stored(tool, name, folder):
    ref = os.path.join(MODELS, name, "train_ref")
    x, y = tensor(os.path.join(ref, "input_0.pb")), tensor(os.path.join(ref, "labels.pb"))
    for mode, part, bound in [("train", "train_bn", 1e-4), ("stats", "frozen_bn", 2e-2)]:
        got = step(tool, stored(name), folder, x, y, len(x), bn=mode, lr=LR, momentum=MOMENTUM)
        with open(os.path.join(ref, part, "loss.txt")) as f:
            loss = float(f.readline().split()[1])
        if not abs(got["loss"][0] - loss) <= bound * loss:
            raise Wrong(f"{name} {part}: loss {got['loss'][0]}, not {loss}")
        worst = 0.0
        for file in sorted(os.listdir(os.path.join(ref, part, "grad"))):
            g, p = tensor(os.path.join(ref, part, "grad", file)), file[:-3]
            d = float(np.abs(found(got, p, g) - g).max() / np.abs(g).max())
            worst = max(worst, d)
            if not d <= bound:
                raise Wrong(f"{name} {part}: gradient of {p}: {d:.2e} of its largest")
        for file in sorted(os.listdir(os.path.join(ref, part, "after_sgd"))):
            w, p = tensor(os.path.join(ref, part, "after_sgd", file)), file[:-3]
            if p in got and not norm(got[p] - w.ravel()) <= 1e-4 * norm(w):
                raise Wrong(f"{name} {part}: {p} after the step")
        print(f"{name} {part}: {worst:.1e} of the largest", flush=True)


def main():
    tool, which, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    names = names or (FEW if which == "few" else list(NETS))
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            if name in STORED and not os.path.exists(stored(name)):
                print(f"{name}: skipped, no {stored(name)}")
                continue
            try:
                if name in STORED:
                    check_stored(tool, name, folder)
                check_net(tool, name, folder)
            except (Wrong, RuntimeError) as e:
                print(e, flush=True)
                failed += 1
    sys.exit(failed != 0)


main()
