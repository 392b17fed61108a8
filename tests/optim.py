"""Every optimizer and its options for 100 steps against PyTorch, on a small network in float64.

usage: optim.py TRAIN_TOOL
Weights after 100 steps and every loss on the way: within 1e-5 relative.
"""
import os
import sys
import tempfile

from checks import needed

with needed():
    import numpy as np
    import torch
    from training import export, step

BATCH, STEPS, TOLERANCE = 4, 100, 1e-5
O = torch.optim
# tvc's name, its options; PyTorch's class, its options
CASES = [
    ("sgd", {}, O.SGD, dict(lr=0.01)),
    ("sgd", dict(lr=0.05, weight_decay=0.1), O.SGD, dict(lr=0.05, weight_decay=0.1)),
    ("sgd", dict(momentum=0.9), O.SGD, dict(lr=0.01, momentum=0.9)),
    ("sgd", dict(momentum=0.9, nesterov=1, weight_decay=0.01), O.SGD, dict(lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.01)),
    ("sgd", dict(momentum=0.9, dampening=0.3), O.SGD, dict(lr=0.01, momentum=0.9, dampening=0.3)),
    ("adam", {}, O.Adam, {}),
    ("adam", dict(amsgrad=1, weight_decay=0.01), O.Adam, dict(amsgrad=True, weight_decay=0.01)),
    ("adamw", {}, O.AdamW, {}),
    ("adamw", dict(amsgrad=1, lr=0.01, weight_decay=0.2), O.AdamW, dict(amsgrad=True, lr=0.01, weight_decay=0.2)),
    ("adamax", {}, O.Adamax, {}),
    ("adamax", dict(weight_decay=0.01), O.Adamax, dict(weight_decay=0.01)),
    ("adadelta", {}, O.Adadelta, {}),
    ("adadelta", dict(lr=0.5, alpha=0.8, weight_decay=0.01), O.Adadelta, dict(lr=0.5, rho=0.8, weight_decay=0.01)),
    ("adagrad", {}, O.Adagrad, {}),
    ("adagrad", dict(lr_decay=0.1, weight_decay=0.01), O.Adagrad, dict(lr_decay=0.1, weight_decay=0.01)),
    ("rmsprop", {}, O.RMSprop, {}),
    ("rmsprop", dict(centered=1, lr=0.001), O.RMSprop, dict(centered=True, lr=0.001)),
    ("rmsprop", dict(momentum=0.9, lr=0.001, weight_decay=0.01, alpha=0.9), O.RMSprop, dict(momentum=0.9, lr=0.001, weight_decay=0.01, alpha=0.9)),
    ("rmsprop", dict(momentum=0.9, lr=0.001, centered=1), O.RMSprop, dict(momentum=0.9, lr=0.001, centered=True)),
    ("rprop", dict(lr=1e-4), O.Rprop, dict(lr=1e-4)),
]


def network():
    """Smooth: rounding must not be able to change a step's direction."""
    return torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(100, 3))


def reference(net, cls, options, x, y):
    optimizer, losses = cls(net.parameters(), **options), []
    for k in range(STEPS):
        at = k % (len(x) // BATCH) * BATCH
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x[at:at + BATCH]), y[at:at + BATCH])
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    return losses, {k: p.detach().numpy() for k, p in net.named_parameters()}


def distance(a, b):
    return float(np.linalg.norm(a - b.ravel()) / np.linalg.norm(b))


def check(tool, folder, case):
    name, words, cls, options = case
    torch.manual_seed(3)
    net = network().double()
    x, y = torch.randn(4 * BATCH, 2, 5, 5).double(), torch.arange(4 * BATCH) % 3
    path = os.path.join(folder, "net.onnx")
    export(net, x[:BATCH], path)
    got = step(tool, path, folder, x.numpy(), y.numpy(), BATCH, STEPS, optimizer=name, **words)
    losses, weights = reference(net, cls, options, x, y)
    worst = max([distance(got["loss"], np.array(losses))] + [distance(got[k], w) for k, w in weights.items()])
    print(f"{name} {words}: {worst:.1e}", flush=True)
    return worst <= TOLERANCE


with tempfile.TemporaryDirectory() as folder:
    sys.exit(not all([check(sys.argv[1], folder, case) for case in CASES]))
