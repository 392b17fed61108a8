"""The command line of tvc: exit codes, help, typos, JSON keys, files replaced whole, edits seen by onnx.

usage: cli.py TVC SOURCE_FOLDER
Edits are checked with onnx where it is installed; identity of bytes over every model at hand.
"""
import glob
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

from checks import check, exit_checks
from onnx_bytes import FLOAT, entry, exit_, floats, init, model, node, save, sparse_model, tensor

TVC, SOURCE = map(os.path.abspath, sys.argv[1:3])
MODEL = f"{SOURCE}/examples/fashion/fashion7.onnx"
DATA = os.environ.get("TVC_TEST_DATA", f"{SOURCE}/../shared/data")
COMMANDS = ["inspect", "edit", "new", "compile", "run", "verify", "compare", "bench", "train", "lr-find", "eval", "predict", "data",
            "devices", "completion", "man"]


def tvc(*args, **kw):
    return subprocess.run([TVC, *map(str, args)], capture_output=True, text=True, timeout=120, **kw)


def check_code(code, *args, err=None):
    r = tvc(*args)
    check(f"{args} exits {code}", r.returncode == code, f"{r.returncode}: {r.stderr}")
    if code:
        check(f"{args} says one line", r.stderr.count("\n") == 1 and r.stderr.startswith("tvc: "), r.stderr)
    if err:
        check(f"{args} says '{err}'", err in r.stderr, r.stderr)
    return r


def sha(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


# ---- help, typos, codes ----
def usage():
    text = check_code(0, "--help").stdout
    check("examples first", text.startswith("Examples:"))
    for c in COMMANDS:
        check(f"{c} in the help", re.search(rf"^  {c} ", text, re.M))
        own = check_code(0, c, "--help").stdout
        check(f"{c}: examples first", own.startswith("Examples:\n  tvc "))
    for code in [*range(10), 70, 130, 143]:
        check(f"exit code {code} documented", re.search(rf"^  {code} ", text, re.M))
    check("a version", re.match(r"tvc \d", check_code(0, "--version").stdout))
    check_code(2, err="which command")
    check_code(2, "edti", err="did you mean 'edit'")
    check_code(2, "edit", MODEL, "--replace-haed", "3", err="did you mean --replace-head")
    check_code(2, "inspect", MODEL, "--top", "3", err="no option --top")
    check_code(2, "edit", MODEL, "--head-scope", "lats", err="last|module")
    check_code(2, "edit", MODEL, "--replace-head", "ten", "-o", "x", err="no whole number")
    check_code(2, "edit", MODEL, "--replace-head", err="needs a value")
    check_code(2, "edit", MODEL, err="-o")
    check_code(2, "edit", MODEL, "a", "-o", "x", err="too many")
    check_code(2, "inspect", err="missing")
    check_code(5, "inspect", "/nowhere.onnx")
    check_code(3, "inspect", __file__)
    check_code(2, "edit", MODEL, "--cut", "/Flaten_output_0", "-o", "x", err="did you mean")
    check_code(2, "edit", MODEL, "--head", "fc.wieght", "--replace-head", "3", "-o", "x", err="did you mean")
    check_code(2, "edit", MODEL, "--head-hidden", "3", "-o", "x", err="--replace-head")


def mistakes(folder):
    """What newcomers give by mistake is named, with the way out."""
    for name, head, said in (("text", b"hello, I am no model\n", "but text"), ("zip.pt", b"PK\3\4" + bytes(30), "torch.onnx.export"),
                             ("pickle.pth", b"\x80\2}q\0X" + bytes(20), "pickle"), ("lfs", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
                             ("x.jpg", b"\xff\xd8\xff\xe0" + bytes(30), "JPEG"), ("x.tflite", b"\x1c\0\0\0TFL3" + bytes(30), "TensorFlow Lite")):
        with open(f"{folder}/{name}", "wb") as f:
            f.write(head)
        check_code(3, "inspect", f"{folder}/{name}", err=said)
    photos, loose = f"{folder}/photos", f"{folder}/loose"
    for path in (f"{photos}/train/a", f"{photos}/train/b", f"{photos}/test/a", f"{photos}/test/b", loose):
        os.makedirs(path)
        with open(f"{path}/x.pgm", "wb") as f:
            f.write(b"P5 28 28 255\n" + bytes(784))
    check_code(9, "train", MODEL, loose, "-o", f"{folder}/m.onnx", err="no images in class folders")
    check_code(9, "eval", MODEL, photos, "--split", "tset", err="it has train and test")
    check_code(5, "train", photos, MODEL, "-o", f"{folder}/m.onnx", err="where a model is expected: tvc train MODEL PHOTOS")
    check_code(5, "train", "--resume", photos, err="holds no run")
    check_code(2, "train", MODEL, photos, "-o", f"{folder}/m.tvc", err="tvc compile")
    check_code(2, "edit", MODEL, "-o", f"{folder}/m.tvc", err="tvc compile")
    check_code(2, "compile", MODEL, "-o", f"{folder}/m.onnx", err="tvc edit")
    check_code(2, "edit", MODEL, "--cut", "zzzzzzzz", "-o", f"{folder}/m.onnx", err="tvc inspect")


def shells():
    for shell, checker in [("bash", ["bash", "-n"]), ("zsh", ["zsh", "-n"]), ("fish", ["fish", "-n"])]:
        text = check_code(0, "completion", shell).stdout
        check(f"{shell} knows the options", "replace-head" in text)
        try:
            r = subprocess.run(checker, input=text, text=True, capture_output=True)
            check(f"{shell} can read its completion", r.returncode == 0, r.stderr)
        except FileNotFoundError:
            pass
    script = check_code(0, "completion", "bash").stdout
    ask = script + "\nCOMP_WORDS=(tvc edit m --head-scope ''); COMP_CWORD=4; _tvc; echo ${COMPREPLY[@]}\n" \
        "COMP_WORDS=(tvc ed); COMP_CWORD=1; _tvc; echo ${COMPREPLY[@]}\n"
    r = subprocess.run(["bash"], input=ask, text=True, capture_output=True)
    check("bash completes", r.stdout.split("\n")[:2] == ["last module", "edit"], r.stdout + r.stderr)
    page = check_code(0, "man").stdout
    check("a manual page", page.startswith(".TH TVC 1") and ".SH EXIT STATUS" in page)


def streams():
    r = tvc("inspect", MODEL, "--json")
    check("JSON alone on stdout", json.loads(r.stdout))
    quiet = tvc("edit", MODEL, "--replace-head", 10, "-o", "/dev/null/x", "-q")
    check("a path that cannot be written", quiet.returncode == 5, quiet.stderr)
    p = subprocess.Popen(f"'{TVC}' man | head -c 10", shell=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    out, err = p.communicate(timeout=60)
    check("a reader who leaves is no error", len(out) == 10 and err == b"", err)
    with open("/dev/full", "w") as full:
        r = subprocess.run([TVC, "man"], stdout=full, stderr=subprocess.PIPE)
        check("a full disk is one", r.returncode == 5, r.stderr)


def newer(folder):
    """Files of versions that did not exist when tvc was made are read, with a note."""
    graph = [node("Relu", ["x"], ["y"]), entry("x"), exit_("y")]
    for name, versions, says in [("known", {"opset": 28, "ir": 14}, ""), ("opset", {"opset": 29}, "opset 29"),
                                 ("ir", {"ir": 15}, "IR version 15")]:
        r = tvc("inspect", save(f"{folder}/{name}.onnx", model(*graph, **versions)))
        told = r.stderr.count("note: ") == bool(says) and says in r.stderr
        check(f"a newer {name}", r.returncode == 0 and told, r.stderr)


# ---- files ----
def files(folder):
    out = f"{folder}/out.onnx"
    for path in [MODEL, *glob.glob(f"{DATA}/models/*/*.onnx"), *glob.glob(f"{DATA}/onnx_backend/light/*.onnx"),
                 *glob.glob(f"{DATA}/onnx_backend/*/*/model.onnx")]:
        r = tvc("edit", path, "-o", out)
        check(f"{path} without edits is identical", r.returncode == 0 and sha(path) == sha(out), r.stderr)
    here = f"{folder}/in.onnx"
    with open(MODEL, "rb") as f, open(here, "wb") as g:
        g.write(f.read())
    keeps = os.open(here, os.O_RDONLY)
    check_code(0, "edit", here, "--replace-head", 3, "-o", here, "-q")
    check("-o onto the input replaces by rename", os.fstat(keeps).st_ino != os.stat(here).st_ino and os.fstat(keeps).st_nlink == 0)
    check("the input has its new head", json.loads(tvc("inspect", here, "--json").stdout)["head"]["classes"] == 3)
    before = sha(here)
    check_code(2, "edit", here, "--cut", "nothing at all", "-o", here)
    check("a failed edit leaves the file alone", sha(here) == before)
    check("nothing else is left", sorted(os.listdir(folder)) == ["in.onnx", "out.onnx"], os.listdir(folder))


def same_package(folder):
    """On however many threads, and whatever is in the cache."""
    check_code(0, "new", "resnet8", "-o", f"{folder}/net.onnx", "-q")
    bytes_of = set()
    for threads, cache in ((1, "a"), (2, "b"), (7, "c"), (2, "c")):
        out = f"{folder}/{threads}{cache}.tvc"
        r = tvc("compile", f"{folder}/net.onnx", "-t", threads, "-o", out, env={**os.environ, "TVC_CACHE": f"{folder}/{cache}"})
        check(f"compiled on {threads} threads", r.returncode == 0, r.stderr)
        bytes_of.add(sha(out))
    check("the same bytes", len(bytes_of) == 1, bytes_of)


# ---- stopped ----
def stop_when(folder, begun, number, *args, **env):
    """Send the signal once begun() holds; True if it came before the end."""
    p = subprocess.Popen([TVC, *map(str, args)], cwd=folder, env={**os.environ, **env}, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    while p.poll() is None and not begun():
        time.sleep(0.001)
    p.send_signal(number)
    p.communicate(timeout=60)
    return p.returncode == -number


def stopped(folder):
    """A large file is being written; the C compiler is at work: neither leaves anything behind when stopped."""
    graph = node("Gemm", ["x", "w"], ["y"]) + entry("x") + exit_("y")
    sparse_model(f"{folder}/big.onnx", graph, [("w", [1 << 14, 1 << 12])])
    os.mkdir(f"{folder}/cache")
    os.mkdir(f"{folder}/tmp")
    with open(f"{folder}/cc", "w") as f:
        f.write("#!/bin/sh\nexec sleep 3\n")
    os.chmod(f"{folder}/cc", 0o700)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        half_written = lambda: glob.glob(f"{folder}/.tvc-*")
        edit = ["edit", "big.onnx", "-o", "out.onnx"]
        check(f"{number!r} ends an edit", any(stop_when(folder, half_written, number, *edit) for _ in range(10)))
        check(f"{number!r} leaves no file", not half_written() and not os.path.exists(f"{folder}/out.onnx"))
        compiling = lambda: glob.glob(f"{folder}/tmp/*/0.c")
        ended = stop_when(folder, compiling, number, "compile", MODEL, TVC_CACHE=f"{folder}/cache", TMPDIR=f"{folder}/tmp",
                          TVC_CC=f"{folder}/cc")
        left = os.listdir(f"{folder}/cache") + os.listdir(f"{folder}/tmp")
        check(f"{number!r} ends a compilation", ended)
        check(f"{number!r} leaves no folder", left == [], left)


# ---- JSON ----
def has_keys(what, o, keys):
    check(f"{what} has {keys}", all(k in o for k in keys), [k for k in keys if k not in o])


def json_keys(folder):
    o = json.loads(tvc("inspect", MODEL, "--json").stdout)
    has_keys("inspect", o, ["inputs", "outputs", "nodes", "parameters", "flops", "opset", "head", "heads", "preprocess", "labels"])
    has_keys("head", o["head"], ["kind", "node", "weight", "bias", "in_features", "classes", "why"])
    check("labels", o["labels"][0] == "T-shirt/top" and len(o["labels"]) == 7)
    check("the recipe", o["preprocess"]["scale"] == "1/255")
    check("parameters", o["parameters"] == 173407 or 170e3 < o["parameters"] < 175e3, o["parameters"])
    r = tvc("edit", MODEL, "--replace-head", 10, "-o", f"{folder}/ten.onnx", "--json")
    has_keys("edit", json.loads(r.stdout), ["output", "head", "heads"])
    o = json.loads(tvc("inspect", f"{folder}/ten.onnx", "--json").stdout)
    check("the old labels are gone", o["labels"] is None and o["outputs"][0]["shape"][1] == 10, o["outputs"])
    o = json.loads(tvc("compile", MODEL, "--json", "-o", f"{folder}/m.tvc").stdout)
    has_keys("compile", o, ["kernels", "kernels_unfused", "arena_bytes", "live_bound_bytes", "compile_seconds", "cached", "output"])
    check("the plan says the same", (o["arena_bytes"], o["live_bound_bytes"]) == plan_bytes(o["plan"]),
          ((o["arena_bytes"], o["live_bound_bytes"]), plan_bytes(o["plan"])))
    o = json.loads(tvc("bench", MODEL, "--json", "--iterations", 3, "--profile").stdout)
    has_keys("bench", o, ["median_ms", "min_ms", "p90_ms", "p99_ms", "images_per_second", "profile"])
    r = tvc("bench", MODEL, "--serve", "--dump-output", f"{folder}/o.npy", input="run\nrun\nquit\n")
    check("--serve answers each run", len(r.stdout.split()) == 2 and all(float(x) > 0 for x in r.stdout.split()), r.stdout + r.stderr)
    check("--dump-output", os.path.exists(f"{folder}/o.npy"))
    o = json.loads(tvc("compare", MODEL, "--json").stdout)
    has_keys("compare", o, ["values", "compared", "differing"])
    check("compiled kernels and evaluator agree", o["differing"] == 0 and o["compared"] > 10, o["compared"])


def plan_bytes(plan):
    """Arena and live bound from the printed plan: rounded buffers alive during each launch, weights excluded."""
    arena = [(k, b) for k, b in enumerate(plan["buffers"]) if b["space"] == "arena"]
    size = {k: (b["bytes"] + 63) // 64 * 64 for k, b in arena}
    steps = [set(s["writes"] + s["reads"]) for s in plan["forward"]]
    written = [set(s["writes"]) for s in plan["forward"]]
    first, last = {}, {}
    for k in size:
        used = [i for i, s in enumerate(steps) if k in s]
        made = [i for i, s in enumerate(written) if k in s]
        first[k], last[k] = (made or [0])[0], (used or [-1])[-1]
    for s in plan["slots"]:
        if s["buffer"] in size:
            if s["role"] == "input":
                first[s["buffer"]] = 0
            if s["role"] == "output":
                last[s["buffer"]] = len(steps) - 1
    bound = max(sum(size[k] for k in size if first[k] <= i <= last[k]) for i in range(len(steps)))
    return max((b["offset"] + size[k] for k, b in arena), default=0), bound


# ---- outputs ----
def weights_as_outputs(folder):
    """Outputs may be weights or inputs themselves; what computes with them is not disturbed."""
    w, x = floats(1, 2, 3, 4), floats(10, 20, 30, 40)
    path = save(f"{folder}/leaf.onnx", model(node("Add", ["x", "w"], ["y"]), init("w", FLOAT, [4], w), entry("x"),
                                             exit_("y"), exit_("w"), exit_("x")))
    save(f"{folder}/x.pb", tensor("x", FLOAT, [4], x))
    for device in ("cpu", "eval"):
        r = tvc("run", path, "--input", f"x={folder}/x.pb", "--dump", f"{folder}/{device}", "--device", device)
        check(f"weights as outputs on {device}", r.returncode == 0, r.stderr)
        for name, want in (("y", floats(11, 22, 33, 44)), ("w", w), ("x", x)):
            with open(f"{folder}/{device}/{name}.npy", "rb") as f:
                check(f"output {name} on {device}", f.read()[-16:] == want)


# ---- pictures and packages ----
def pictures(folder):
    idx = "/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz"
    if not os.path.exists(idx):
        print("skipped: pictures (dataset-fashion-mnist is not installed)")
        return
    tvc("compile", MODEL, "-o", f"{folder}/m.tvc")
    said = [tvc("run", m, f"{idx}:0-9", "--top", 2, "--json", *more) for m, more in
            [(MODEL, []), (f"{folder}/m.tvc", []), (MODEL, ["--batch", 4]), (MODEL, ["--device", "eval"])]]
    answers = [json.loads(r.stdout) for r in said]
    best = [[(x["file"], x["top"][0]["index"], x["top"][0]["label"]) for x in a] for a in answers]
    check("model, package, batches and evaluator see the same", all(b == best[0] for b in best), best)
    check("ten pictures", len(best[0]) == 10 and best[0][0][2] == "Ankle boot", best[0])
    check("scores are probabilities", all(0 <= t["score"] <= 1 for x in answers[0] for t in x["top"]))


def main():
    usage()
    shells()
    streams()
    for part in (mistakes, newer, files, same_package, stopped, json_keys, weights_as_outputs, pictures):
        with tempfile.TemporaryDirectory() as folder:
            part(folder)
    exit_checks()


main()
