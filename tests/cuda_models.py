"""Whole models compiled for a GPU: no GPU is needed.

usage: cuda_models.py TOOL count|emulate|nvrtc|table [ARCH ...] [--only=NETWORK] [--state=FOLDER]
  count    launches of ResNet-50, and the share of its training step's FLOPs in kernels whose PTX has mma.sync, ldmatrix
           and cp.async; needs libnvrtc
  nvrtc    eight of torchvision's networks, inference and training, through NVRTC for each ARCH (sm_90); what was
           compiled before is taken from FOLDER
  table    what FOLDER holds, as bench/results/nvrtc-models.md
  emulate  (TOOL: train_tool) steps of a small network on stand-ins for driver and compiler, beside the CPU's
Networks are exported once into the cache folder $TVC_MODELS (a temporary one without). Skipped (exit 77) without torch.
"""
import contextlib
import copy
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import warnings

from checks import needed

with needed():
    import numpy as np
    import torch
    import torchvision.models as zoo
    from training import export

warnings.simplefilter("ignore")
TOOL, WHAT, MORE = sys.argv[1], sys.argv[2], [a for a in sys.argv[3:] if not a.startswith("--")]
OPTION = dict(a[2:].split("=", 1) for a in sys.argv[3:] if a.startswith("--"))
ALL = ["resnet18", "resnet50", "vgg11_bn", "squeezenet1_1", "densenet121", "inception_v3", "mobilenet_v2", "mobilenet_v3_small"]
MODELS = [OPTION["only"]] if "only" in OPTION else ALL
SPILL = 48                                           # bytes: a dozen registers
BATCH, BF16 = 8, 2
NEVER, ALWAYS = 1, 2                                 # Cublas of runtime/program.h
# Launches of ResNet-50: mode and batch.
MOST = {("eval", BATCH): 60, ("train", BATCH): 177, ("train", 1): 177}
SHARE = 0.95                                         # of its training step's FLOPs
bad = 0


def check(what, holds, more=""):
    global bad
    bad += not holds
    if not holds:
        print(f"WRONG {what}: {more}", flush=True)


def model(folder, name, mode):
    path = os.path.join(folder, f"{name}_{mode}.onnx")
    if os.path.exists(path):
        return path
    torch.manual_seed(0)
    more = dict(aux_logits=False, init_weights=False) if name == "inception_v3" else {}
    net, side = getattr(zoo, name)(**more), 299 if name == "inception_v3" else 224
    x = torch.zeros(2, 3, side, side)
    if mode == "train":
        export(net, x, path + ".part")
    else:
        torch.onnx.export(net.eval(), x[:1], path + ".part", opset_version=13, input_names=["x"], output_names=["y"],
                          dynamic_axes={"x": {0: "N"}, "y": {0: "N"}})
    os.replace(path + ".part", path)
    return path


def compiled(path, target, mode, batch=BATCH, **options):
    args = [TOOL, path, str(batch), f"cuda:{target}", f"train={int(mode == 'train')}", f"precision={BF16}"]
    r = subprocess.run(args + [f"{k}={v}" for k, v in options.items()], capture_output=True, text=True, timeout=3000)
    if "was not found" in r.stderr:
        print(f"skipped: {r.stderr.strip()}")
        sys.exit(77)
    if r.returncode:
        check(f"{path} {target}", False, r.stderr[-2000:])
        return None
    return json.loads(r.stdout.splitlines()[-1])


def count(folder):
    for (mode, batch), most in MOST.items():
        got = compiled(model(folder, "resnet50", mode), "compute_90", mode, batch)
        if not got:
            continue
        what = f"resnet50 {mode}, batch {batch}"
        check(f"{what}: launches", got["launches"] <= most, got["launches"])
        check(f"{what}: FLOPs on tensor cores", got["products"] >= SHARE, got["products"])
        print(f"{what}: {got['launches']} launches, {got['distinct']} kernels, {100 * got['products']:.1f} % of "
              f"{got['flops'] * 1e-9:.1f} GFLOP on tensor cores, NVRTC {got['nvrtc_seconds']:.1f} s", flush=True)


def kept(name, mode, arch):
    return os.path.join(OPTION["state"], f"{name}-{mode}-{arch}.json") if "state" in OPTION else None


def compiled_once(folder, name, mode, arch):
    path = kept(name, mode, arch)
    if path and os.path.exists(path):
        return json.load(open(path))
    got = compiled(model(folder, name, mode), arch, mode)
    if got and path:
        with open(path + ".part", "w") as f:
            json.dump(got, f)
        os.replace(path + ".part", path)
    return got


def nvrtc(folder):
    for name in MODELS:
        for mode in ("eval", "train"):
            for arch in MORE or ["sm_90"]:
                got = compiled_once(folder, name, mode, arch)
                if not got:
                    continue
                worst = max(f["worst"] for f in got["families"].values())
                check(f"{name} {mode} {arch}: spills", worst <= SPILL, f"{worst} bytes")
                print(f"{name} {mode} {arch}: {got['launches']} launches, {got['distinct']} kernels, {got['spilled']} spill, "
                      f"at most {worst} bytes; {got['cpu_seconds']:.1f} s of CPU", flush=True)


# ---- the table ----

HEAD = """# Whole models through NVRTC 13.0

Written by `tests/nvrtc_all.sh`; no GPU took part. Networks as torchvision has them, batches of 8, `--precision bf16`.
Tensor cores: the share of the FLOPs that is in kernels whose PTX has mma.sync, ldmatrix and cp.async. For each
architecture: the most registers of a kernel; kernels that spill, and the bytes at worst; CPU seconds of the whole
compilation, nothing from the cache, on a machine with two cores and other work.
"""
WHY = """
Spills by schedule: kernels; the bytes at worst, stack and stores together. A tile of 128 by 128 leaves room for two
blocks on a multiprocessor as long as a thread has no more than 128 registers; where a formula wants one to four more,
ptxas keeps them in local memory, which costs less than half of the blocks would. It does likewise where three fit.
"""


def table(_):
    archs = MORE or ["sm_80", "sm_90", "sm_100", "sm_120"]
    print(HEAD)
    print("| network | mode | launches | kernels | tensor cores |", *(f" {a}: registers | spill | CPU s |" for a in archs), sep="")
    print("|---|---|---|---|---|", "---|---|---|" * len(archs), sep="")
    spills = []
    for name in MODELS:
        for mode in ("eval", "train"):
            if not os.path.exists(kept(name, mode, archs[0])):
                continue
            all_ = [json.load(open(kept(name, mode, a))) for a in archs]
            ptx = json.load(open(kept(name, mode, "compute_90")))
            cells = [f"{max(f['registers'] for f in x['families'].values())} | {x['spilled']} | {x['cpu_seconds']:.1f} |" for x in all_]
            print(f"| {name} | {'training step' if mode == 'train' else 'inference'} | {ptx['launches']} | {ptx['distinct']} | "
                  f"{100 * ptx['products']:.1f} % |", *(f" {c}" for c in cells), sep="")
            spills += [f"| {name} | {mode} | {a} | {family} | {f['spilled']} of {f['kernels']} | {f['worst']} |"
                       for a, x in zip(archs, all_) for family, f in x["families"].items() if f["spilled"]]
    if spills:
        print(WHY, "\n| network | mode | target | schedule | kernels | bytes |\n|---|---|---|---|---|---|", *spills, sep="\n")


# ---- a small network: residual, strides, 1x1 and 3x3 ----

class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        n = torch.nn
        self.c1, self.b1 = n.Conv2d(3, 16, 3, 2, 1, bias=False), n.BatchNorm2d(16)
        self.c2, self.b2 = n.Conv2d(16, 32, 1, bias=False), n.BatchNorm2d(32)
        self.c3, self.b3 = n.Conv2d(32, 32, 3, 2, 1, bias=False), n.BatchNorm2d(32)
        self.d, self.bd = n.Conv2d(16, 32, 1, 2, bias=False), n.BatchNorm2d(32)
        self.fc = n.Linear(32, 10)

    def forward(self, x):
        x = torch.relu(self.b1(self.c1(x)))
        y = torch.relu(self.b2(self.c2(x)))
        y = torch.relu(self.b3(self.c3(y)) + self.bd(self.d(x)))
        return self.fc(torch.flatten(torch.nn.functional.adaptive_avg_pool2d(y, 1), 1))


def steps(folder, out, *more, batch=12):
    args = [TOOL, f"{folder}/small.onnx", str(batch), "2", folder, f"{folder}/{out}", "bn=train", "lr=0.05", "momentum=0.9", *more]
    r = subprocess.run(args, capture_output=True, text=True, timeout=600)
    check(f"small {out}", r.returncode == 0, f"{r.returncode}: {r.stderr[-2000:]}")
    values, raw, at = {}, open(f"{folder}/{out}", "rb").read(), 0
    while at < len(raw):
        end = raw.index(b"\n", at)
        size, kind, name = raw[at:end].decode().split(" ", 2)
        at = end + 1 + int(size)
        values[name] = np.frombuffer(raw[end + 1:at], {"f32": np.float32, "f64": np.float64}[kind])
    return values


OPTIMIZERS = (["optimizer=adam", "amsgrad=1"], ["optimizer=adadelta"], ["optimizer=rmsprop", "centered=1"], ["optimizer=rprop"],
              ["nesterov=1", "weight_decay=0.01"])


def distance(a, b):
    return float(np.sqrt(np.sum((a.astype(np.float64) - b) ** 2) / (np.sum(a.astype(np.float64) ** 2) + 1e-30)))


def frozen_prefix(folder):
    """What the frozen part computes in its own precision, the head in another."""
    head = {(p, f): steps(folder, f"head{p}{f}", "cuda=1", "bn=auto", "only=fc", f"precision={p}", f"frozen={f}")
            for p, f in ((0, 0), (2, 2), (0, 2), (2, 0), (0, 1), (1, 1))}
    what = next(k for k in head[0, 0] if k.startswith("features"))
    features = {k: v[what].tobytes() for k, v in head.items()}
    check("a frozen part in bf16 is that of bf16", features[0, 2] == features[2, 2])
    check("a frozen part in float32 is that of float32", features[2, 0] == features[0, 0])
    check("a frozen part in tf32 is that of tf32", features[0, 1] == features[1, 1])
    check("they differ", len(set(features.values())) == 3, len(set(features.values())))
    one, other = head[0, 2]["fc.weight"], head[2, 2]["fc.weight"]
    check("and so do heads over the same features", one.tobytes() != other.tobytes())
    print(f"frozen part in bf16 beneath a head in float32: features off by {distance(head[0, 0][what], head[0, 2][what]):.1e}")


def torch_steps(net, x, target, batch, lr, dtype=None):
    """What steps() returns, of PyTorch on the CPU; with a dtype under autocast, which keeps images in it as tvc does."""
    net = copy.deepcopy(net).train()
    optimizer, losses = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9), []
    for k in range(2):
        part = slice(k * batch % len(x), k * batch % len(x) + batch)
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype) if dtype else contextlib.nullcontext():
            loss = torch.nn.functional.cross_entropy(net(x[part]).float(), target[part])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    values = {k: t.detach().numpy() for k, t in net.state_dict().items() if t.dim()}
    values.update({f"momentum/{k}": optimizer.state[p]["momentum_buffer"].numpy() for k, p in net.named_parameters()})
    return {**values, "loss": np.array(losses)}


DRAWS = 6


def bounds_of(net, x, target, batch, lr):
    """How far bf16, and 11 bits, may be off: twice what PyTorch's own bf16 is off its float32, at most, in such steps.

    Of 11 bits: losses by the ratio of the unit roundoffs, 2^-11 / 2^-8. Gradients by its root: what moves them is the share
    of values that rounding puts on the other side of a ReLU, which goes with the roundoff, and each changes by all it was.
    """
    loss = rest = 0.0
    for turn in range(DRAWS):
        data = x.roll(turn, 0), target.roll(2 * turn, 0)
        wide, narrow = (torch_steps(net, *data, batch, lr, d) for d in (None, torch.bfloat16))
        loss = max(loss, float(np.max(np.abs(wide["loss"] - narrow["loss"]) / np.abs(wide["loss"]))))
        rest = max(rest, *(distance(wide[k], narrow[k]) for k in wide if k != "loss"))
    print(f"PyTorch's bf16, batch {batch}: losses off by {loss:.1e}, values by at most {rest:.1e}")
    return {"bf16": (2 * loss, 2 * rest), "11 bits": (2 * loss / 8, 2 * rest / math.sqrt(8))}


def judged(what, cpu, gpu, loss, rest):
    if set(gpu) != set(cpu):
        check(what, False, "values are missing")
        return
    worst = max((distance(cpu[k], gpu[k]), k) for k in cpu if k != "loss")
    off = float(np.max(np.abs(cpu["loss"] - gpu["loss"]) / np.abs(cpu["loss"])))
    check(f"{what}: loss", off <= loss, off)
    check(f"{what}: values", worst[0] <= rest, worst)
    print(f"{what}: losses off by {off:.1e}, values by at most {worst[0]:.1e} ({worst[1]})", flush=True)


def emulate(folder):
    torch.manual_seed(0)
    net = Small()
    export(net, torch.randn(4, 3, 32, 32), f"{folder}/small.onnx")
    x, target = torch.randn(12, 3, 32, 32), torch.arange(12) % 10
    np.save(f"{folder}/x.npy", x.numpy())
    np.save(f"{folder}/target.npy", target.numpy())
    cpu = steps(folder, "cpu")
    frozen_prefix(folder)
    for more in OPTIMIZERS:
        what = " ".join(more)
        judged(what, steps(folder, "cpu_other", *more), steps(folder, "gpu_other", "cuda=1", *more), 1e-5, 5e-3)
    one = steps(folder, "cpu_one", "lr=0.001", batch=1)
    for precision, (loss, rest) in ((0, (1e-6, 1e-5)), (2, bounds_of(net, x, target, 1, 0.001)["bf16"])):
        what = f"batch 1, precision {precision}"
        judged(what, one, steps(folder, "gpu_one", "lr=0.001", "cuda=1", f"precision={precision}", batch=1), loss, rest)
    near = bounds_of(net, x, target, 12, 0.05)
    bounds = (1e-6, 1e-5), near["11 bits"], near["bf16"], near["11 bits"]
    for cublas, precision in itertools.product((NEVER, ALWAYS), range(4)):
        what = f"precision {precision}{', products through cuBLASLt' if cublas == ALWAYS else ''}"
        got = steps(folder, f"gpu{precision}", "cuda=1", f"precision={precision}", f"cublas={cublas}")
        judged(what, cpu, got, *bounds[precision])


with tempfile.TemporaryDirectory() as scratch:
    {"count": count, "nvrtc": nvrtc, "table": table, "emulate": emulate}[WHAT](os.environ.get("TVC_MODELS", scratch) if WHAT != "emulate" else scratch)
sys.exit(bad != 0)
