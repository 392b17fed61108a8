"""ONNX files by hand, well-formed or not, without any library."""
import math
import os
import struct

FLOAT, INT64 = 1, 7


def varint(v):
    v &= (1 << 64) - 1
    out = bytearray()
    while v > 127:
        out.append(v & 127 | 128)
        v >>= 7
    out.append(v)
    return bytes(out)


def num(field, v):
    return varint(field << 3) + varint(v)


def part(field, v):
    v = v.encode() if isinstance(v, str) else v
    return varint(field << 3 | 2) + varint(len(v)) + v


def attr(name, v):
    if isinstance(v, int):
        return part(5, part(1, name) + num(3, v) + num(20, 2))
    if isinstance(v, str):
        return part(5, part(1, name) + part(4, v) + num(20, 3))
    if isinstance(v, bytes):
        return part(5, part(1, name) + part(5, v) + num(20, 4))
    return part(5, part(1, name) + b"".join(num(8, x) for x in v) + num(20, 7))


def node(op, ins, outs, name="", **attrs):
    body = b"".join(part(1, x) for x in ins) + b"".join(part(2, x) for x in outs)
    body += (part(3, name) if name else b"") + part(4, op)
    return part(1, body + b"".join(attr(k, v) for k, v in attrs.items()))


def tensor(name, kind, dims, raw, more=b""):
    return b"".join(num(1, d) for d in dims) + num(2, kind) + part(8, name) + (part(9, raw) if raw is not None else b"") + more


def init(*args, **kw):
    return part(5, tensor(*args, **kw))


def sparse_model(path, graph, weights):
    """A model whose weights, (name, dims), are holes of a sparse file; returns its size."""
    heads = []
    for name, dims in weights:
        size = 4 * math.prod(dims)
        head = tensor(name, FLOAT, dims, None) + varint(9 << 3 | 2) + varint(size)
        heads.append((varint(5 << 3 | 2) + varint(len(head) + size) + head, size))
    total = len(graph) + sum(len(h) + size for h, size in heads)
    with open(path, "wb") as f:
        f.write(num(1, 8) + part(8, part(1, "") + num(2, 17)) + varint(7 << 3 | 2) + varint(total) + graph)
        for head, size in heads:
            f.write(head)
            f.seek(size, os.SEEK_CUR)
        f.truncate(f.tell())
        return f.tell()


def floats(*v):
    return struct.pack(f"<{len(v)}f", *v)


def ints(*v):
    return struct.pack(f"<{len(v)}q", *v)


def indices(name, *v):
    return init(name, INT64, [len(v)], ints(*v))


def value(field, name, kind, dims):
    shape = b"".join(part(1, num(1, d) if isinstance(d, int) else part(2, d)) for d in dims)
    return part(field, part(1, name) + part(2, part(1, num(1, kind) + part(2, shape))))


def entry(name, kind=FLOAT, dims=(4,)):
    return value(11, name, kind, dims)


def exit_(name, kind=FLOAT, dims=(4,)):
    return value(12, name, kind, dims)


def model(*graph, opset=17, ir=8):
    return num(1, ir) + part(7, part(2, "g") + b"".join(graph)) + part(8, part(1, "") + num(2, opset))


def save(name, data):
    with open(name, "wb") as f:
        f.write(data)
    return name
