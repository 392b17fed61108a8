"""Keeps a comparison of float32 gradients away from kinks: points where an activation's slope jumps, ties of MaxPool.

A value within rounding of a kink falls on either side of it, and its gradient comes or goes: PyTorch's own float32
gradient then is 1e-3 and more away from its float64 one. What is compared must be the arithmetic, so
  clear():  moves the shift of each convolution, product or BatchNorm before an activation, channel by channel, by at
            most REACH deviations to where the channel's values leave the widest gap around every kink;
  margin(): how far the nearest value stays from a kink, in units of PyTorch's own float32 rounding error there;
  near():   which rows of which weights made the channels that come nearer than asked. No shift moves a tie of MaxPool,
            but a slightly different filter does, and it alone has to be drawn again, not the whole network.
All read the network at work in float64, below autograd, so that it does not matter how the network is written.
"""
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
REACH, TRIED = 0.25, 801
KINKS = {"relu": [0.0], "hardswish": [-3.0, 3.0], "hardsigmoid": [-3.0, 3.0], "hardtanh": [0.0, 6.0]}
SHIFTS = {"convolution": 2, "mkldnn_convolution": 2, "_convolution": 2, "addmm": 0, "native_batch_norm": 2}
FILTERS = {"convolution": 1, "mkldnn_convolution": 1, "_convolution": 1, "addmm": 2}
POOL = "max_pool2d_with_indices"


def kinks_of(name):
    return KINKS.get(name.rstrip("_"))


def pair(n):
    """Of what may be one number for both axes."""
    return [n] * 2 if isinstance(n, int) else list(n) * (2 // len(n))


def pool_gaps(x, kernel, stride=(), padding=0, dilation=1, ceil=False):
    """[N, C, windows]: by how much the largest value exceeds the second. Equal ones, infinity: zeros behind a ReLU, or
    one number that an earlier pool gave to two places; whichever is chosen, the same element gets the gradient."""
    kernel, stride, padding = map(pair, (kernel, stride or kernel, padding))
    more = [s - 1 if ceil else 0 for s in stride]
    x = F.pad(x, [padding[1], padding[1] + more[1], padding[0], padding[0] + more[0]], value=-1e30)
    windows = F.unfold(x.flatten(0, 1)[:, None], kernel, stride=stride, dilation=dilation)
    top = windows.topk(2, dim=1).values
    gap = top[:, 0] - top[:, 1]
    return torch.where(gap == 0, float("inf"), gap).view(*x.shape[:2], -1)


class Watch(TorchDispatchMode):
    """Calls seen(name, args, x, shift, makers) for every activation and MaxPool. shift: that of the last operator that
    has one; makers: of each channel of x, the weight and its row that made it, where that is known."""

    def __init__(self, seen):
        super().__init__()
        self.seen, self.shift, self.makers = seen, None, {}

    def made_by(self, x):
        return self.makers.get(id(x), (x, []))[1]

    def follow(self, name, args, y):
        first = args[0][0] if isinstance(args[0], (list, tuple)) else args[0]
        if name in FILTERS:
            made = [(args[FILTERS[name]], i) for i in range(y.shape[1])]
        elif name == "cat":
            made = [m for x in args[0] for m in self.made_by(x)]
        else:
            made = self.made_by(first)
        if y.dim() > 1 and len(made) == y.shape[1]:
            self.makers[id(y)] = (y, made)                 # y is kept, so that its id stays its own

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in SHIFTS:
            self.shift = args[SHIFTS[name]]
        if kinks_of(name) or name == POOL:
            self.seen(name, args, args[0], self.shift, self.made_by(args[0]))
        result = func(*args, **(kwargs or {}))
        y = result[0] if isinstance(result, (list, tuple)) else result
        if args and torch.is_tensor(y):
            self.follow(name, args, y)
        return result


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
    def move(name, args, v, shift, makers):
        if name == POOL or shift is None or shift.shape[0] != v.shape[1]:
            return
        with torch.no_grad():
            by = best_moves(v.transpose(0, 1).flatten(1).contiguous(), kinks_of(name))
            v += by.view(1, -1, *[1] * (v.dim() - 2))
            shift += by
    with torch.no_grad(), Watch(move):
        net(x)


def values_at_kinks(net, x):
    found = []
    with torch.no_grad(), Watch(lambda name, args, v, shift, makers: found.append((name, args[1:], v.clone(), makers))):
        net(x)
    return found


def distances(name, args, v):
    """Of each channel's nearest value from a kink."""
    gaps = pool_gaps(v, *args) / 2 if name == POOL else torch.stack([(v - k).abs() for k in kinks_of(name)]).amin(0)
    return gaps.transpose(0, 1).flatten(1).amin(1)


def margins(exact, rounded):
    """exact, rounded: values_at_kinks in float64 and float32. Per place: of each channel; who made it."""
    return [(distances(n, a, v) / max(float((v - w).abs().max()), 1e-12), made)
            for (n, a, v, _), (_, _, w, made) in zip(exact, rounded)]


def margin(each):
    return min(float(m.min()) for m, _ in each)


def near(each, least):
    """(weight, row) of the channels nearer than `least`."""
    return [made[c] for m, made in each if made for c in (m < least).nonzero().flatten().tolist()]
