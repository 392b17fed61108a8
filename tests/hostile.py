"""Hostile files through the real program: one line and an exit code, little memory and time, nothing left behind.

usage: hostile.py TVC SOURCE_FOLDER [SUBJECT ...]
Every command runs with a stack of 256 KB. What is refused says so in one line on stderr that names the file, and
exits with 3 (malformed), 4 (unsupported) or 6 (a limit), having used at most 64 MB + 4 x the file's size.
"""
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

from checks import check, exit_checks
from onnx_bytes import FLOAT, INT64, entry, exit_, floats, indices, init, ints, model, node, num, part, save, tensor, varint

TVC, SOURCE = os.path.abspath(sys.argv[1]), sys.argv[2]
STACK = 256 << 10
SECONDS = 60                              # generous: the machine may be busy
MB = 1 << 20
MOST_MEMORY = 3000 * MB                 # address space, where a run would take all there is
with open(TVC, "rb") as program:
    SANITIZED = b"__asan_init" in program.read()      # then it maps terabytes for its own use
REFUSED = (3, 4, 6)


# ---- arrays ----
def npy(name, code, *v):
    data = struct.pack(f"<{len(v)}{'f' if code == '<f4' else 'i' if code == '<i4' else 'q'}", *v)
    head = f"{{'descr': '{code}', 'fortran_order': False, 'shape': ({len(v)},), }}"
    head += " " * (63 - (10 + len(head)) % 64) + "\n"
    return save(name, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + data)


# ---- running ----
def tvc(*args, file_limit=None, address_space=None, env=None):
    """(exit code, stderr's lines, greatest resident bytes, seconds)"""
    def limits():
        resource.setrlimit(resource.RLIMIT_STACK, (STACK, resource.RLIM_INFINITY))
        if address_space:
            resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
        if file_limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

    said, err = os.pipe()                 # no file: those may be limited
    with open(said, "rb") as said:
        start = time.monotonic()
        child = subprocess.Popen([TVC, *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err, preexec_fn=limits,
                                 env={**os.environ, **(env or {})})
        os.close(err)
        lines = []
        reader = threading.Thread(target=lambda: lines.extend(said.read().decode(errors="replace").splitlines()))
        reader.start()
        while True:
            pid, status, used = os.wait4(child.pid, os.WNOHANG)
            if pid or time.monotonic() - start > SECONDS:
                break
            time.sleep(0.002)
        if not pid:
            child.kill()
            _, status, used = os.wait4(child.pid, 0)
        reader.join()
    code = os.waitstatus_to_exitcode(status)
    child.returncode = code
    return code, lines, used.ru_maxrss * 1024, time.monotonic() - start


def check_run(what, codes, args, says="", files=(), **kw):
    code, lines, memory, seconds = tvc(*args, **kw)
    lines = [line for line in lines if not line.startswith("note: ")]
    shown = f"exit {code} after {seconds:.1f} s: {lines[:3]}"
    if os.environ.get("TVC_TEST_VERBOSE"):
        print(f"{what}: {args[0]}: {memory >> 20} MB, {shown}")
    check(what, code in codes, f"{args[0]}: {shown}")
    if code:
        check(what, len(lines) == 1 and lines[0].startswith("tvc: "), f"{args[0]}: one line: {shown}")
        check(what, says in "".join(lines), f"{args[0]}: '{says}' is not in {shown}")
        check(what, all(f in "".join(lines) for f in files), f"{args[0]}: names no file: {shown}")
        size = sum(os.path.getsize(a) for a in args[1:] if os.path.isfile(a))
        check(what, memory <= 64 * MB + 4 * size, f"{args[0]}: {memory >> 20} MB for {size} bytes")


def refused(what, data, says="", codes=REFUSED, commands=("inspect", "compile")):
    """The file is refused by each command."""
    path = data if isinstance(data, str) else save("bad.onnx", data)
    for command in commands:
        check_run(what, codes, [command, path], says, [os.path.basename(path)])


def survived(what, data, commands=("inspect", "compile")):
    """Served or refused, but nothing else."""
    refused(what, data, codes=(0, *REFUSED), commands=commands)


def large(name, parts):
    """Written by a child, so that this process, whose memory counts for what it starts, stays small."""
    child = os.fork()
    if not child:
        save(name, parts())
        os._exit(0)
    check("a large file", os.waitpid(child, 0)[1] == 0)
    return name


# ---- subjects ----
def small_model():
    weight = init("w", FLOAT, [2, 4], floats(*range(8)))
    return model(entry("x", dims=[1, 4]), exit_("z", dims=[1, 2]), node("Gemm", ["x", "w"], ["y"], "gemm", transB=1),
                 node("Relu", ["y"], ["z"], "relu"), weight)


def damage():
    data = small_model()
    rng = random.Random(1)
    for i in range(len(data)):
        survived(f"cut at {i}", data[:i], ["inspect"])
        changed = bytearray(data)
        changed[i] = rng.randrange(256)
        survived(f"byte {i} changed", bytes(changed), ["inspect"])
        if i % 8 == 0:
            survived(f"byte {i} changed", bytes(changed), ["compile"])
    for path in (f"{SOURCE}/examples/fashion/fashion7.onnx",):
        with open(path, "rb") as f:
            data = f.read()
        for _ in range(40):
            survived("cut", data[:rng.randrange(len(data))], ["inspect"])
            at = rng.randrange(len(data))
            survived(f"byte {at} of {path} changed", data[:at] + bytes([rng.randrange(256)]) + data[at + 1:], ["inspect"])


def nested(depth):
    """If in If in If, written outside in from its lengths."""
    inner, heads = 0, []
    for _ in range(depth):
        a = 1 + len(varint(inner)) + inner                        # the attribute's graph
        b = 1 + len(varint(a)) + a                                # the node's attribute
        heads.append(part(1, b"")[:1] + varint(b) + b"\x2a" + varint(a) + b"\x32" + varint(inner))
        inner = 1 + len(varint(b)) + b
    return num(1, 8) + b"\x3a" + varint(inner) + b"".join(reversed(heads))


def nesting():
    for depth in (33, 1000, 100000):
        refused(f"{depth} nested subgraphs", nested(depth))


def masses():
    n = 1000000
    one = node("Relu", ["x"], ["y"])
    many = {
        "empty nodes": lambda: model(part(1, b"") * (5 * n)),
        "empty tensors": lambda: model(part(5, b"") * (5 * n)),
        "tiny tensors": lambda: model(entry("x"), exit_("y"), one, *[init(f"t{i}", FLOAT, [1], floats(1)) for i in range(n)]),
        "empty attributes": lambda: model(entry("x"), exit_("y"), part(1, part(1, "x") + part(2, "y") + part(4, "Relu") +
                                                                      part(5, b"") * (3 * n))),
        "empty names": lambda: model(entry("x"), exit_("y"), part(1, part(1, "") * (5 * n) + part(4, "Sum"))),
        "empty inputs": lambda: model(part(11, b"") * (5 * n)),
        "metadata": lambda: model(entry("x"), exit_("y"), one) + part(14, b"") * (5 * n),
        "imports": lambda: model(entry("x"), exit_("y"), one) + part(8, b"") * (5 * n),
        "a million operands": lambda: model(entry("x"), exit_("y"), node("Sum", ["x"] * n, ["y"])),
        "a million results": lambda: model(entry("x"), exit_("y"), node("Split", ["x"], [f"y{i}" for i in range(n)])),
        "a tensor of a million axes": lambda: model(entry("x"), exit_("y"), one, init("t", FLOAT, [1] * n, floats(1))),
        "a value of a million axes": lambda: model(entry("x", dims=[1] * n), exit_("y"), one),
        "dead nodes": lambda: model(entry("x"), exit_("y"), one, *[node("Exp", ["x"], [f"d{i}"]) for i in range(n)]),
    }
    for name, build in many.items():
        survived(f"masses: {name}", large("many.onnx", build))


def chain(op, n, **attrs):
    steps = [node(op, [f"v{i}" if i else "x"], [f"v{i + 1}"], **attrs) for i in range(n)]
    return model(entry("x"), exit_(f"v{n}"), *steps)


def ladder(n):
    """Each step uses the one before twice: 2^n paths."""
    steps = [node("Mul", [f"v{i}" if i else "x"] * 2, [f"v{i + 1}"]) for i in range(n)]
    return model(entry("x"), exit_(f"v{n}"), *steps)


def depth():
    for op in ("Relu", "Exp", "Softmax", "Identity"):
        for n in (2000, 20000, 100000):
            survived(f"a chain of {n} {op}", large("deep.onnx", lambda: chain(op, n)))
    survived("a million nodes in a chain", large("deep.onnx", lambda: chain("Exp", 1000000)))
    for n in (64, 5000, 100000):
        survived(f"a ladder of {n} steps", large("deep.onnx", lambda: ladder(n)))
    survived("100000 nodes backwards", large("deep.onnx", lambda: model(
        entry("x"), exit_("v100000"), *[node("Exp", [f"v{i}" if i else "x"], [f"v{i + 1}"]) for i in reversed(range(100000))])))


def sizes():
    x, y, relu = entry("x"), exit_("y"), node("Relu", ["x"], ["y"])
    add = node("Add", ["x", "w"], ["y"])
    for dims in ([1 << 62, 4], [1 << 32, 1 << 32], [-1], [-(1 << 63)], [1 << 40], [(1 << 63) - 1]):
        refused(f"weights of {dims}", model(x, y, add, init("w", FLOAT, dims, floats(1, 2, 3, 4))))
        survived(f"a declared input of {dims}", model(entry("x", dims=dims), y, relu))
        shape = indices("s", *dims)
        for name, op in (("ConstantOfShape", node("ConstantOfShape", ["s"], ["c"])), ("Expand", node("Expand", ["x", "s"], ["c"]))):
            survived(f"{name} of {dims}", model(x, y, shape, op, node("ReduceSum", ["c"], ["y"], keepdims=0)))
    for raw in (b"", floats(1, 2, 3), floats(1, 2, 3, 4, 5), b"abc"):
        refused(f"{len(raw)} bytes for 4 floats", model(x, y, add, init("w", FLOAT, [4], raw)), codes=(3,))
    one, huge = 1, 1 << 40
    ranges = init("a", INT64, [], ints(0)), init("b", INT64, [], ints(1 << 31)), init("c", INT64, [], ints(one))
    refused("a Range of 17 GB", model(node("Range", ["a", "b", "c"], ["y"]), *ranges, exit_("y", INT64, ["n"])), codes=(6,))
    for n in (10 ** 9, 10 ** 12, huge):
        big, x4, number = indices("s", n), entry("x", dims=[1, 1, 4, 4]), init("s", INT64, [], ints(n))
        too_large = {
            "ConstantOfShape": model(big, node("ConstantOfShape", ["s"], ["c"]), node("Relu", ["c"], ["y"]), y),
            "Expand": model(x, y, indices("s", n, 4), node("Expand", ["x", "s"], ["y"])),
            "Tile": model(x, y, big, node("Tile", ["x", "s"], ["y"])),
            "Resize": model(x4, y, indices("s", 1, 1, n, 4), init("none", FLOAT, [0], b""), node("Resize", ["x", "none", "none", "s"], ["y"])),
            "Pad": model(x, y, indices("s", n, n), node("Pad", ["x", "s"], ["y"])),
            "Upsample": model(x4, y, init("s", FLOAT, [4], floats(1, 1, n, n)), node("Upsample", ["x", "s"], ["y"]), opset=9),
            "OneHot": model(entry("x", INT64), y, number, init("v", FLOAT, [2], floats(0, 1)), node("OneHot", ["x", "s", "v"], ["y"])),
            "Conv": model(x4, y, init("w", FLOAT, [1, 1, 1, 1], floats(1)), node("Conv", ["x", "w"], ["y"], pads=[n, n, n, n])),
            "EyeLike": model(entry("x", dims=[n, n]), y, node("EyeLike", ["x"], ["y"])),
        }
        refused(f"TopK of {n}", model(x, y, big, node("TopK", ["x", "s"], ["y", "i"])), codes=(3, 6))
        for name, data in too_large.items():
            survived(f"{name} with {n}", data)
            for device in () if SANITIZED else ("cpu", "eval"):
                path = save("bad.onnx", data)
                check_run(f"{name} with {n} on {device}", REFUSED, ["compare", path, "--device", device, "--device", device], files=[path],
                          address_space=MOST_MEMORY)
    doubling = [node("Concat", [f"v{i}" if i else "x"] * 2, [f"v{i + 1}"], axis=0) for i in range(60)]
    refused("60 doublings", model(x, exit_("v60"), *doubling), codes=(3, 6))


def structure():
    x, y = entry("x"), exit_("y")
    refused("a cycle", model(x, y, node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["y"])), "cycle", codes=(3,))
    refused("a node that uses itself", model(x, y, node("Add", ["x", "y"], ["y"])), codes=(3,))
    refused("an undefined value", model(x, y, node("Relu", ["nowhere"], ["y"])), "nowhere", codes=(3,))
    refused("an undefined output", model(x, exit_("nowhere"), node("Relu", ["x"], ["y"])), "nowhere", codes=(3,))
    refused("two producers", model(x, y, node("Relu", ["x"], ["y"]), node("Exp", ["x"], ["y"])), "y", codes=(3,))
    refused("an unknown operator", model(x, y, node("Frobnicate", ["x"], ["y"])), "Frobnicate", codes=(4,), commands=["compile"])
    refused("an unknown domain", model(x, y, part(1, part(1, "x") + part(2, "y") + part(4, "Relu") + part(7, "evil"))), codes=(3, 4), commands=["compile"])
    refused("an unknown type of a weight", model(x, y, node("Add", ["x", "w"], ["y"]), init("w", 99, [4], floats(1, 2, 3, 4))), codes=(3, 4), commands=["compile"])
    refused("an unknown type of an input", model(entry("x", 99), y, node("Relu", ["x"], ["y"])), codes=(3, 4), commands=["compile"])
    refused("types that do not fit", model(entry("x", INT64), entry("z"), y, node("Add", ["x", "z"], ["y"])), codes=(3,), commands=["compile"])
    refused("shapes that do not fit", model(entry("x", dims=[3]), entry("z", dims=[4]), y, node("Add", ["x", "z"], ["y"])), codes=(3,), commands=["compile"])
    refused("no operands", model(x, y, node("Conv", [], ["y"])), codes=(3,), commands=["compile"])
    for field, v in (("strides", [0, 0]), ("strides", [-1, -1]), ("dilations", [0, 0]), ("dilations", [1 << 62, 1 << 62]), ("group", 0),
                     ("group", 1 << 40), ("pads", [-9, -9, -9, -9]), ("kernel_shape", [1 << 40, 3]), ("strides", [1 << 62, 1 << 62])):
        survived(f"Conv with {field} {v}", model(entry("x", dims=[1, 1, 4, 4]), y, init("w", FLOAT, [1, 1, 1, 1], floats(1)),
                                                 node("Conv", ["x", "w"], ["y"], **{field: v})))
    for name, data in (("empty", b""), ("text", b"hello"), ("zeros", bytes(1000)), ("a picture", b"\x89PNG\r\n\x1a\n" + bytes(100))):
        refused(f"no model but {name}", data, codes=(3,))
    os.mkfifo("fifo.onnx")
    refused("a FIFO", "fifo.onnx", codes=(3, 5))
    check_run("a folder", (3, 5), ["inspect", "."])
    check_run("nothing", (5,), ["inspect", "absent.onnx"], files=["absent.onnx"])


def from_data():
    """Indices and divisors known only at run time."""
    i64 = npy("i.npy", "<i8", 2, 0, 1, 7)
    zeros, minus, lowest = npy("z.npy", "<i8", 1, 0, 1, 1), npy("m.npy", "<i8", -1, -1, -1, -1), npy("l.npy", "<i8", *[-(1 << 63)] * 4)
    far = npy("far.npy", "<i8", 0, 1, 1 << 62, -(1 << 63))
    x, i = npy("x.npy", "<f4", 1, 2, 3, 4), entry("i", INT64)
    data = {"gather": (node("Gather", ["x", "i"], ["y"]), [i64, far, npy("n5.npy", "<i8", 0, -5, 0, 0)]),
            "elements": (node("GatherElements", ["x", "i"], ["y"]), [i64, far]),
            "scatter": (node("ScatterElements", ["x", "i", "x"], ["y"]), [i64, far]),
            "nd": (node("Unsqueeze", ["i", "last"], ["i2"]) + node("GatherND", ["x", "i2"], ["y"]), [i64, far]),
            "scatternd": (node("Unsqueeze", ["i", "last"], ["i2"]) + node("ScatterND", ["x", "i2", "x"], ["y"]), [i64, far])}
    last = indices("last", 1)
    for name, (op, wrong) in data.items():
        path = save(f"{name}.onnx", model(entry("x"), i, exit_("y"), op, last))
        for device in ("cpu", "eval"):
            fine = npy("fine.npy", "<i8", 2, 0, 1, 3)
            check_run(f"{name}, in range", (0,), ["run", path, "--device", device, "--input", f"x={x}", "--input", f"i={fine}", "--dump", "out"])
            for file in wrong:
                check_run(f"{name} with {file} on {device}", REFUSED, ["run", path, "--device", device, "--input", f"x={x}", "--input", f"i={file}", "--dump", "out"],
                          files=[path])
    for op in ("Div", "Mod"):
        path = save(f"{op}.onnx", model(i, entry("d", INT64), exit_("y", INT64), node(op, ["i", "d"], ["y"])))
        for device in ("cpu", "eval"):
            check_run(f"{op} by zero on {device}", REFUSED, ["run", path, "--device", device, "--input", f"i={i64}", "--input", f"d={zeros}", "--dump", "out"], files=[path])
            check_run(f"{op} of the lowest by -1 on {device}", (0, *REFUSED), ["run", path, "--device", device, "--input", f"i={lowest}", "--input", f"d={minus}",
                                                                             "--dump", "out"], files=[path])
    for op in ("Div", "Mod"):
        survived(f"constants: {op} by zero", model(i, exit_("y", INT64), indices("a", 1, 2, 3, 4), indices("b", 1, 0, 1, 1), node(op, ["a", "b"], ["c"]),
                                                   node("Add", ["c", "i"], ["y"])))
    for wrong in (4, -5, 1 << 62, -(1 << 63)):
        survived(f"constants: Gather at {wrong}", model(entry("x"), exit_("y"), indices("i", wrong), node("Gather", ["x", "i"], ["y"])))
        survived(f"constants: Slice at {wrong}", model(entry("x"), exit_("y"), indices("i", wrong), indices("e", 1 << 62), node("Slice", ["x", "i", "e"], ["y"])))
        survived(f"constants: Reshape to {wrong}", model(entry("x"), exit_("y"), indices("i", wrong, 4), node("Reshape", ["x", "i"], ["y"])))


def side_files():
    outside = tempfile.mkdtemp()
    save(f"{outside}/secret", floats(1, 2, 3, 4) * 100)
    os.symlink(f"{outside}/secret", "link")
    os.symlink(outside, "folder")
    os.link(f"{outside}/secret", "hard")
    os.mkfifo("fifo")
    os.mkdir("sub")
    save("good", floats(1, 2, 3, 4))
    os.symlink("good", "inner")

    def stored(place, offset=None, length=None):
        where = [("location", place), ("offset", offset), ("length", length)]
        more = b"".join(part(13, part(1, k) + part(2, str(v))) for k, v in where if v is not None) + num(14, 1)
        return model(entry("x"), exit_("y"), node("Add", ["x", "w"], ["y"]), init("w", FLOAT, [4], None, more))

    check_run("a side file", (0,), ["compile", save("side.onnx", stored("good"))])
    for place in ("../secret", f"{outside}/secret", "link", "folder/secret", "hard", "fifo", "sub", "sub/../../secret", "", ".", "/dev/zero", "/etc/passwd",
                  "absent", "good\0x", "a" * 5000, "./../" + os.path.basename(outside) + "/secret"):
        refused(f"a side file at {place[:60]!r}", stored(place), codes=(3, 4, 5, 6))
    for offset, length in ((1, 16), ((1 << 64) - 8, 16), (1 << 63, 16), (0, 17), (0, 15), (0, (1 << 64) - 1), (-1, 16), ("x", 16), (0, "0x10"), (17, None),
                           ("9" * 40, 16)):
        refused(f"a side file from {offset}, {length} bytes", stored("good", offset, length), codes=(3, 6))
    shutil.rmtree(outside)


def names():
    """The generated source does not know a model's names."""
    evil = ['"; system("true"); //', "*/ int main(void) { } /*", "%s%n%d\\\n#include <x>", "\x1b[31m\x07??/\n\"'`$(id)"]
    plain = ["a", "b", "c", "d"]
    sources = []
    for x, w, y, name in (plain, evil):
        data = model(entry(x, dims=[1, 4]), exit_(y, dims=[1, 2]), node("Gemm", [x, w], [name], name, transB=1), node("TopK", [name, "k"], [y, ""], y + y, axis=1),
                     init(w, FLOAT, [2, 4], floats(*range(8))), indices("k", 2))
        code, lines, _, _ = tvc("compile", save("names.onnx", data), env={"TVC_DEBUG": "4", "TVC_CACHE": os.path.abspath("names-cache")})
        check("names", code == 0, lines)
        sources.append(lines)
        shutil.rmtree("names-cache", ignore_errors=True)
    check("the source was seen", any("KERNEL" in line for line in sources[0]), sources[0][:3])
    check("the source does not know names", sources[0] == sources[1])
    for bad_name in evil:
        code, lines, _, _ = tvc("inspect", save("names.onnx", model(entry(bad_name), exit_("y"), node("Frobnicate", [bad_name], ["y"], bad_name))))
        check("names are shown escaped", all(c.isprintable() for line in lines for c in line), lines)


def failed_writes():
    source = f"{SOURCE}/examples/fashion/fashion7.onnx"
    os.mkdir("target")
    old = ["old.onnx", "old.tvc"]
    before = [save(f"target/{name}", b"old") for name in old]
    for limit in (0, 1000, 100000):
        check_run(f"edit within {limit} bytes", (5, 6), ["edit", source, "--replace-head", "3", "-o", "target/old.onnx"], file_limit=limit)
        check_run(f"compile within {limit} bytes", (5, 6), ["compile", source, "-o", "target/old.tvc"], file_limit=limit)
        for path in before:
            with open(path, "rb") as f:
                check("the old file is whole", f.read() == b"old", path)
        check("nothing else is left", sorted(os.listdir("target")) == old, os.listdir("target"))
    for out in ("absent/out.onnx", "target", "/dev/full", "/proc/out.onnx"):
        check_run(f"edit to {out}", (2, 5), ["edit", source, "--replace-head", "3", "-o", out])
        check_run(f"compile to {out}", (2, 5), ["compile", source, "-o", out.replace(".onnx", ".tvc")])
    check("nothing is left beside a folder", [f for f in os.listdir(".") if f.startswith("target")] == ["target"])
    save("cut.onnx", small_model()[:-20])
    check_run("an edit of a damaged file", (3,), ["edit", "cut.onnx", "-o", "target/new.onnx"])
    check("no output of a failed edit", sorted(os.listdir("target")) == old, os.listdir("target"))


def other_files():
    """Arrays, pictures, indices, labels and packages that are none."""
    source = f"{SOURCE}/examples/fashion/fashion7.onnx"
    check_run("a package", (0,), ["compile", source, "-o", "good.tvc"])
    with open("good.tvc", "rb") as f:
        package = f.read()
    rng = random.Random(2)
    for i in [*range(0, 200, 9), *[rng.randrange(len(package)) for _ in range(30)]]:
        for what, data in (("cut", package[:i]), ("changed", package[:i] + bytes([package[i] ^ 1 << rng.randrange(8)]) + package[i + 1:])):
            refused(f"a package {what} at {i}", save("bad.tvc", data), codes=(3, 7), commands=["run"])
    save("x.onnx", small_model())
    good = npy("v.npy", "<f4", 1, 2, 3, 4)
    with open(good, "rb") as f:
        array = f.read()
    for i in range(0, len(array), 5):
        save("bad.npy", array[:i])
        check_run(f"an array cut at {i}", REFUSED, ["run", "x.onnx", "--input", "x=bad.npy", "--dump", "out"], files=["bad.npy"])
    save("bad.pb", tensor("x", FLOAT, [1 << 40, 1 << 40], floats(1)))
    check_run("a tensor that overflows", REFUSED, ["run", "x.onnx", "--input", "x=bad.pb", "--dump", "out"], files=["bad.pb"])
    for name, data in (("bad.png", b"\x89PNG\r\n\x1a\n" + bytes(50)), ("bad.jpg", b"\xff\xd8\xff\xe0" + bytes(50)), ("bad.webp", b"RIFF\x10\0\0\0WEBPVP8 "),
                       ("bad.bin", b"what"), ("empty.png", b"")):
        check_run(f"a picture {name}", REFUSED, ["run", source, save(name, data)], files=[name])
    for data in (b"", b"\0\0\x08\x03", b"\0\0\x08\x03" + b"\xff" * 12, b"\x1f\x8b" + bytes(20)):
        check_run("an index file", (3, 5, 6), ["run", source, f"{save('bad-idx3-ubyte.gz', data)}:0-3"], files=["bad-idx3-ubyte.gz"])


SUBJECTS = {f.__name__: f for f in (damage, nesting, masses, depth, sizes, structure, from_data, side_files, names, failed_writes, other_files)}
with tempfile.TemporaryDirectory() as work:
    os.environ["TVC_CACHE"] = f"{work}/cache"
    for subject in sys.argv[3:] or SUBJECTS:
        os.makedirs(f"{work}/{subject}")
        os.chdir(f"{work}/{subject}")
        start = time.monotonic()
        SUBJECTS[subject]()
        print(f"{subject}: {time.monotonic() - start:.0f} s", flush=True)
        os.chdir("/")
exit_checks()
