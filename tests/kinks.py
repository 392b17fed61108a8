"""Keeps a comparison of float32 gradients away from kinks: the points where an activation's slope jumps, and ties of MaxPool.

A value within rounding of a kink falls on either side of it, and its gradient comes or goes: PyTorch's own float32
gradient then is 1e-3 and more away from its float64 one. What is compared must be the arithmetic, so
  clear():  moves the shift of each convolution, product or BatchNorm before an activation, channel by channel, by at
            most REACH deviations to where the channel's values leave the widest gap around every kink;
  margin(): how far the nearest value stays from a kink, in units of PyTorch's own float32 rounding error there.
Both read the network at work in float64, below autograd, so that it does not matter how the network is written.
"""
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
REACH, TRIED = 0.25, 801
KINKS = {"relu": [0.0], "hardswish": [-3.0, 3.0], "hardsigmoid": [-3.0, 3.0], "hardtanh": [0.0, 6.0]}
SHIFTS = {"convolution": 2, "mkldnn_convolution": 2, "_convolution": 2, "addmm": 0, "native_batch_norm": 2}


def kinks_of(name):
    return KINKS.get(name.rstrip("_"))


def pool_gaps(x, kernel, stride=(), padding=0, dilation=1, ceil=False):
    """By how much each window's largest value exceeds the second; all-zero windows have no gradient behind their ReLU."""
    pad = [padding] * 2 if isinstance(padding, int) else list(padding)
    if len(pad) == 1:
        pad *= 2
    x = F.pad(x, [pad[1], pad[1], pad[0], pad[0]], value=-1e30)
    windows = F.unfold(x.flatten(0, 1)[:, None], kernel, stride=stride or kernel, dilation=dilation)
    top = windows.topk(2, dim=1).values
    return (top[:, 0] - top[:, 1])[top[:, 0] != 0]


class Watch(TorchDispatchMode):
    """Calls seen(name, args, x, shift) for every activation and MaxPool; shift: that of the last operator that has one."""

    def __init__(self, seen):
        super().__init__()
        self.seen, self.shift = seen, None

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in SHIFTS:
            self.shift = args[SHIFTS[name]]
        if kinks_of(name) or name == "max_pool2d_with_indices":
            self.seen(name, args, args[0], self.shift)
        return func(*args, **(kwargs or {}))


def best_moves(values, kinks):
    """values [C, n]: for each channel, the move that leaves the nearest value farthest from the kinks."""
    values = values.sort(dim=1).values
    reach = REACH * (values.std(dim=1, keepdim=True) + values.std() / 10)                  # some channels are dead
    moves = torch.linspace(-1, 1, TRIED, dtype=values.dtype) * reach
    nearest = torch.full_like(moves, float("inf"))
    for k in kinks:
        at = (k - moves).contiguous()
        above = torch.searchsorted(values, at)
        for i in (above, above - 1):
            inside = (i >= 0) & (i < values.shape[1])
            gap = (values.gather(1, i.clamp(0, values.shape[1] - 1)) - at).abs()
            nearest = torch.minimum(nearest, torch.where(inside, gap, nearest))
    return moves.gather(1, nearest.argmax(dim=1, keepdim=True))[:, 0]


def clear(net, x):
    """Moves the shifts of a float64 network, in the order in which it works."""
    def move(name, args, v, shift):
        if name == "max_pool2d_with_indices" or shift is None or shift.shape[0] != v.shape[1]:
            return
        with torch.no_grad():
            by = best_moves(v.transpose(0, 1).flatten(1).contiguous(), kinks_of(name))
            v += by.view(1, -1, *[1] * (v.dim() - 2))
            shift += by
    with torch.no_grad(), Watch(move):
        net(x)


def values_at_kinks(net, x):
    found = []
    with torch.no_grad(), Watch(lambda name, args, v, shift: found.append((name, args[1:], v.clone()))):
        net(x)
    return found


def distance(name, args, v):
    gaps = pool_gaps(v, *args) / 2 if name == "max_pool2d_with_indices" else torch.stack([(v - k).abs() for k in kinks_of(name)])
    return float(gaps.min()) if gaps.numel() else float("inf")


def margin(exact, rounded):
    """exact, rounded: values_at_kinks in float64 and float32."""
    return min(distance(n, a, v) / max(float((v - w).abs().max()), 1e-12) for (n, a, v), (_, _, w) in zip(exact, rounded))
