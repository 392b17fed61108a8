#!/usr/bin/env python3
"""What a user asks of `tvc train`, `eval`, `predict` and `run` around a small network: sources of data, mistakes, flags.

  sources     folders, idx files, lists: one class, several labels, numbers; each told by eval, predict, run and a package as what it is
  mistakes    data, patterns, checkpoints that do not fit: the exit code, and one line that names what is wrong
  pictures    some that cannot be read are left out, counted and named; too many end the run
  phases      what is frozen stays byte for byte until it is thawed; patience, plateaus, batches by the number of pictures
  watched     progress on a terminal; a second Ctrl-C
  report      one file that needs no other: curves, confusion, per-class figures, the worst pictures
  exported    pictures prepared as the file says give ONNX Runtime's logits; metadata in every dialect that can say it

usage: train_asked.py TVC
"""
import base64
import gzip
import io
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

TVC = sys.argv[1]
MODEL = Path(__file__).resolve().parent.parent / "examples" / "fashion" / "fashion7.onnx"
SHAPES = ("bar", "disc", "ring")
try:
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import numpy_helper
    from PIL import Image
except ImportError as missing:
    print("skipped:", missing.name, "is not installed")
    sys.exit(77)


def tvc(*words, code=0, says="", **more):
    done = subprocess.run([TVC, *map(str, words)], capture_output=True, text=True, timeout=300, **more)
    if done.returncode != code:
        sys.exit(f"tvc {' '.join(map(str, words))}: exit {done.returncode} instead of {code}\n{done.stderr}")
    if code in (2, 3, 5, 9) and "tvc: " in done.stderr:
        last = done.stderr.splitlines()[-1]
        assert last.startswith("tvc: ") and says in last, f"'{says}' is not in: {last}"
    return done


def told(*words):
    return json.loads(tvc(*words, "--json", "-q").stdout)


def drawing(kind, rng, size=28):
    y, x = np.mgrid[:size, :size] - size / 2 + rng.normal(0, 2, (2, 1, 1))
    r = np.hypot(x, y)
    shape = {"bar": abs(x) < 4, "disc": r < 9, "ring": (r < 11) & (r > 7)}[kind]
    return Image.fromarray(np.clip(shape * 180 + rng.normal(40, 20, (size, size)), 0, 255).astype(np.uint8))


def photos(folder, train=20, val=8, kinds=SHAPES):
    rng = np.random.default_rng(7)
    for split, each in (("train", train), ("val", val)) if val else (("", train),):
        for kind in kinds:
            to = folder / split / kind
            to.mkdir(parents=True)
            for i in range(each):
                drawing(kind, rng).save(to / f"{i:03d}.png")
    return folder


def train(data, out, *words, **more):
    return tvc("train", MODEL, data, "-o", out, *words, **more)


def initializers(path):
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(str(path)).graph.initializer}


# ---- sources ----

def one_class(tmp, data):
    out = tmp / "one.onnx"
    said = told("train", MODEL, data, "-o", out, "--epochs", 12, "--lr", 0.01)
    assert {"best_top1", "best_epoch", "epochs", "seconds", "output"} <= set(said) and said["best_top1"] >= 0.9, said
    judged = told("eval", out, data)
    assert judged["top1"] == said["best_top1"] and judged["count"] == 24 and [c["label"] for c in judged["per_class"]] == list(SHAPES)
    assert all(0 <= c[k] <= 1 for c in judged["per_class"] for k in ("top1", "recall", "precision"))
    guess = told("predict", out, data / "val")
    hits = sum(g["label"] in Path(g["file"]).parts for g in guess)
    assert len(guess) == 24 and hits == round(24 * judged["top1"])
    rows = tvc("predict", out, data / "val", "--csv").stdout.splitlines()
    assert rows[0] == "file,index,label,score" and len(rows) == 25
    assert [float(r.rsplit(",", 1)[1]) for r in rows[1:]] == [round(g["score"], 6) for g in guess]
    assert re.match(r" *\d+\.\d\d %  (bar|disc|ring)  ", tvc("predict", out, data / "val").stdout)


def write_idx(folder, sets):
    """{name: (pixels, labels)}"""
    for name, (pixels, labels) in sets.items():
        (folder / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 2051, *pixels.shape) + pixels.tobytes())
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, len(labels)) + labels.tobytes())


def idx(tmp, data):
    """The same pictures as MNIST writes them, packed or not: the same weights."""
    folder, plain = tmp / "idx", tmp / "plain"
    folder.mkdir(), plain.mkdir()
    for name, split in (("train", "train"), ("t10k", "val")):
        files = sorted((data / split).glob("*/*"))
        pixels = np.stack([np.asarray(Image.open(f)) for f in files])
        write_idx(plain, {name: (pixels, np.array([SHAPES.index(f.parent.name) + 3 for f in files], np.uint8))})       # as of a larger set
    for f in plain.iterdir():
        (folder / f"{f.name}.gz").write_bytes(gzip.compress(f.read_bytes()))
    names = tmp / "names.txt"
    names.write_text("a\nb\nc\nbar\ndisc\nring\n")
    words = ["--epochs", 3, "-q"]
    train(data, tmp / "folder.onnx", *words)
    for source in folder, plain:
        train(source, tmp / "idx.onnx", *words, "--class-names", names)
        assert (tmp / "idx.onnx").read_bytes() == (tmp / "folder.onnx").read_bytes(), "idx files are learned otherwise"
    train(folder, tmp / "two.onnx", *words, "--classes", "5,3")
    assert told("inspect", tmp / "two.onnx")["labels"] == ["5", "3"]
    assert told("eval", tmp / "two.onnx", folder, "--classes", "5,3")["count"] == 16
    tvc("eval", tmp / "two.onnx", folder, code=9, says="class '4'")
    train(folder, tmp / "x.onnx", "--classes", "5,77", code=9, says="no class '77'")
    short = tmp / "short.txt"
    short.write_text("a\nb\n")
    train(folder, tmp / "x.onnx", "--class-names", short, code=9, says="none of the 2 classes")


def rows_of(data, write, path):
    with open(path, "w") as f:
        if path.suffix == ".csv":
            f.write("path,label,split\n")
        for p in sorted(data.glob("*/*/*")):
            name, kind, split = str(p.relative_to(path.parent)), p.parent.name, p.parent.parent.name
            f.write(f'{name},"{";".join(map(str, write(kind)))}",{split}\n' if path.suffix == ".csv" else
                    json.dumps({"path": name, "label": write(kind), "split": split}) + "\n")
    return path


def several(tmp, data):
    """Labels: what is round, what is filled."""
    tags = {"bar": ["filled"], "disc": ["filled", "round"], "ring": ["round"]}
    out = tmp / "tags.onnx"
    for name in "tags.csv", "tags.jsonl":
        source = rows_of(data, tags.get, data.parent / name)
        said = told("train", MODEL, source, "-o", out, "--epochs", 25, "--lr", 0.01)
        assert said["best_top1"] > 0.8, said
    assert {p.key: p.value for p in onnx.load(str(out)).metadata_props}["tvc.target"] == "labels"
    judged = told("eval", out, source)
    assert judged["top1"] == said["best_top1"] and judged["top5"] is None
    tvc("compile", out, "-o", tmp / "tags.tvc")
    guess = told("predict", out, data / "val")
    logits = onnx_logits(out, sorted((data / "val").glob("*/*")))
    for g, z in zip(guess, logits):
        want = {n: 1 / (1 + np.exp(-v)) for n, v in zip(("filled", "round"), z) if v > 0}
        assert {s["label"] for s in g["labels"]} == set(want), (g, z)
        assert all(abs(s["score"] - want[s["label"]]) < 1e-4 for s in g["labels"])
    right = np.array([[n in tags[Path(g["file"]).parent.name] for n in ("filled", "round")] for g in guess])
    found = logits > 0
    for c in judged["per_class"]:
        k = c["index"]
        assert c["count"] == right[:, k].sum() and abs(c["recall"] - (right & found)[:, k].sum() / right[:, k].sum()) < 1e-6, c
        assert abs(c["precision"] - (right & found)[:, k].sum() / found[:, k].sum()) < 1e-6, c
    assert abs(judged["top1"] - (right == found).all(1).mean()) < 1e-6
    line = tvc("predict", out, data / "val" / "disc", "--csv").stdout.splitlines()
    assert line[0] == "file,label,score" and any('"round;filled"' in s or '"filled;round"' in s for s in line[1:]), line
    for model in out, tmp / "tags.tvc":                    # each score by itself: they do not sum up to one
        top = told("run", model, data / "val" / "disc" / "000.png")[0]["top"]
        assert sum(t["score"] for t in top) > 1.05, top
    assert "round" in (tmp / "tags.run" / "report.html").read_text() and "exact" in (tmp / "tags.run" / "report.txt").read_text()
    tvc("edit", out, "--replace-head", 4, "-o", tmp / "four.onnx", "-q")
    assert "tvc.target" not in {p.key for p in onnx.load(str(tmp / "four.onnx")).metadata_props}


def numbers(tmp, data):
    width = {"bar": [-1, 0.5], "disc": [0, -2], "ring": [1.5, 0]}
    out = tmp / "numbers.onnx"
    source = rows_of(data, width.get, data.parent / "numbers.jsonl")
    for loss in "l1", "mse":
        said = told("train", MODEL, source, "-o", out, "--loss", loss, "--epochs", 25, "--lr", 0.01)
        assert said["best_top1"] is None and said["best_loss"] < 0.6, said
    judged = told("eval", out, source)                     # the file knows that it tells numbers
    assert abs(judged["loss"] - said["best_loss"]) < 1e-5 and judged["top1"] is None and judged["per_class"] == []
    files = sorted((data / "val").glob("*/*"))
    want, guess = onnx_logits(out, files), told("predict", out, data / "val")
    assert np.abs(np.array([g["values"] for g in guess]) - want).max() < 1e-4
    truth = np.array([width[f.parent.name] for f in files])
    assert abs(judged["loss"] - ((want - truth) ** 2).mean()) < 1e-4, "the loss is the mean square"
    assert tvc("predict", out, files[0], "--csv").stdout.startswith("file,value0,value1\n")
    assert len(told("run", out, files[0])[0]["values"]) == 2
    best = [json.loads(s) for s in (tmp / "numbers.run" / "metrics.jsonl").read_text().splitlines()]
    assert min(range(25), key=lambda i: best[i]["val_loss"]) + 1 == said["best_epoch"]


# ---- what the file says is enough ----

def onnx_logits(path, files):
    session = onnxruntime.InferenceSession(str(path))
    meta = json.loads({p.key: p.value for p in onnx.load(str(path)).metadata_props}["tvc.preprocess"])
    scale = 1 / 255 if meta["scale"] == "1/255" else meta["scale"]
    x = np.stack([(np.asarray(Image.open(f).convert("L"), np.float32) * np.float32(scale) - np.float32(meta["mean"][0])) / np.float32(meta["std"][0])
                  for f in files])[:, None]
    return session.run(None, {session.get_inputs()[0].name: x.astype(np.float32)})[0]


def exported(tmp, data):
    out, files = tmp / "e.onnx", sorted((data / "val").glob("*/*"))
    train(data, out, "--scale", 1, "--mean", 127.5, "--std", 127.5, "--epochs", 6, "--lr", 0.01, "-q")
    meta = {p.key: p.value for p in onnx.load(str(out)).metadata_props}
    assert json.loads(meta["tvc.labels"]) == list(SHAPES) and eval(meta["names"]) == dict(enumerate(SHAPES))
    assert json.loads(meta["class_names"]) == {str(i): n for i, n in enumerate(SHAPES)}
    assert meta["Image.NominalPixelRange"] == "Normalized_1_1" and meta["Image.BitmapPixelFormat"] == "Gray8"
    timm = json.loads(meta["pretrained_cfg"])
    assert timm["mean"] == timm["std"] == [0.5] and timm["num_classes"] == 3 and timm["input_size"] == [1, 28, 28]
    onnx.checker.check_model(onnx.load(str(out)), full_check=True)
    for file, z in zip(files, onnx_logits(out, files)):
        p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        for t in told("run", out, file)[0]["top"] if file.name < "002" else ():
            assert abs(t["score"] - p[t["index"]]) < 1e-4 and t["label"] == SHAPES[t["index"]]
    bgr = tmp / "bgr.onnx"                                 # what a dialect cannot say is left out
    tvc("edit", MODEL, "--input-channels", 3, "-o", tmp / "rgb.onnx", "-q")
    tvc("train", tmp / "rgb.onnx", data, "-o", bgr, "--order", "bgr", "--mean", "0.4,0.5,0.6", "--std", "0.2", "--epochs", 1, "-q")
    meta = {p.key: p.value for p in onnx.load(str(bgr)).metadata_props}
    assert json.loads(meta["tvc.preprocess"])["color"] == "bgr"
    assert not {"pretrained_cfg", "imgsz", "Image.NominalPixelRange", "Image.BitmapPixelFormat"} & set(meta), meta


# ---- mistakes ----

def mistakes(tmp, data):
    def other(name, change):
        folder = tmp / f"m-{name}"
        shutil.copytree(data, folder)
        change(folder)
        return folder

    only = lambda split: lambda d: (shutil.copytree(d / split / "bar", d / split / "cube"))
    for name, change, says in (("train", only("train"), "'cube' is in train, but not in val"), ("val", only("val"), "'cube' is in val, but not in train"),
                               ("one", lambda d: [shutil.rmtree(p) for p in d.glob("*/*") if p.name != "bar"], "has one class, 'bar'"),
                               ("empty", lambda d: [p.unlink() for p in d.glob("train/disc/*")], "class 'disc' of"),
                               ("none", lambda d: [p.unlink() for p in d.glob("*/*/*")], "has no images")):
        train(other(name, change), tmp / "x.onnx", code=9, says=says)
    assert told("data", "check", data)["problems"] == []
    checked = tvc("data", "check", tmp / "m-empty", "--json", code=1)
    assert "disc" in json.loads(checked.stdout)["problems"][0]
    for words, says in ((["--freeze", "all"], "nothing to train"), (["--freeze", "nosuch*"], "'nosuch*' matches no"),
                        (["--unfreeze-at", "2=nosuch*"], "'nosuch*' matches no"), (["--group", "nosuch*:lr=1"], "'nosuch*' matches no"),
                        (["--unfreeze-at", "21=fc*"], "not within 1 to 20"), (["--group", "fc*:rate=1"], "no key 'rate'"),
                        (["--class-weights", "1,2"], "3 numbers"), (["--val-split", "1.5", "--epochs", "1"], ""),
                        (["--optimizer", "sgdd"], "there are sgd, adam"), (["--schedule", "formula:0.9^epcoh"], "epcoh"),
                        (["--augment", "flip"], "flip"), (["--label-smoothing", "2"], "within 0 to 1")):
        if words[0] != "--val-split":
            train(data, tmp / "x.onnx", *words, code=2, says=says)
    undivided = photos(tmp / "undivided", 10, 0)
    train(undivided, tmp / "u.onnx", "--val-split", 1.5, code=2, says="1.5")
    train(undivided, tmp / "u.onnx", "--val-split", 0.3, "--epochs", 2, "-q")
    noted = tvc("eval", tmp / "u.onnx", undivided)
    assert noted.stdout.startswith("30 images") and "--split val" in noted.stderr
    assert tvc("eval", tmp / "u.onnx", undivided, "--split", "val", "--val-split", 0.3).stdout.startswith("9 images")
    assert not tvc("eval", tmp / "u.onnx", data).stderr
    tvc("eval", tmp / "u.onnx", other("unknown", only("val")), code=9, says="class 'cube'")
    checkpoints(tmp, data)


def checkpoints(tmp, data):
    run = tmp / "c.run"
    train(data, tmp / "c.onnx", "--epochs", 4, "--lr", 0.01, "--stop-at", 3, "-q", code=0)
    for words, says in ((["--lr", 0.3], "no --lr=0.3"), (["--batch", 5], "another --batch"), (["--seed", 9], "another --seed"),
                        (["--balance"], "no --balance"), (["--head-hidden", 8], "no --head-hidden=8; another model")):
        tvc("train", "--resume", run, *words, code=3, says=says)
    whole = (run / "last.ckpt").read_bytes()
    (run / "last.ckpt.1").unlink(missing_ok=True)
    for bytes_, says in ((whole[:-9], "checksum"), (whole[:8] + b"\x63" + whole[9:], "checksum"), (b"PK\3\4" + whole, "no checkpoint")):
        (run / "last.ckpt").write_bytes(bytes_)
        tvc("train", "--resume", run, code=3, says=says)
    (run / "last.ckpt").write_bytes(whole)
    train(data, tmp / "other.onnx", "--epochs", 4, "--keep-head", "--classes", "bar,disc", "--stop-at", 1, code=9)
    tvc("edit", MODEL, "--replace-head", 3, "--seed", 5, "-o", tmp / "three.onnx", "-q")
    tvc("train", tmp / "three.onnx", data, "--keep-head", "--epochs", 4, "-o", tmp / "other.onnx", "--lr", 0.01, "--stop-at", 1, "-q")
    shutil.copy(run / "last.ckpt", tmp / "other.run" / "last.ckpt")
    (tmp / "other.run" / "last.ckpt.1").unlink(missing_ok=True)
    tvc("train", "--resume", tmp / "other.run", code=3, says="another model")
    tvc("train", "--resume", run, "-q")


# ---- pictures that cannot be read ----

def huge_png():
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))


def pictures(tmp, _):
    data = photos(tmp / "bad", 40, 30)
    whole = (data / "train" / "bar" / "000.png").read_bytes()
    bad = {"train/bar/000.png": (whole[:100], "truncated"), "train/ring/003.png": (huge_png(), "60000 x 60000 pixels"),
           "val/disc/001.png": (b"not a picture", "not an image")}
    for name, (content, _) in bad.items():
        (data / name).write_bytes(content)
    for recipe, epochs in (("head", 2), ("finetune", 5)):       # of two phases: they are counted once
        done = train(data, tmp / "b.onnx", "--epochs", epochs, "--recipe", recipe, "--augment", "none")
        notes = [s for s in done.stderr.splitlines() if "left out: " in s]
        assert len(notes) == 3 and "3 pictures cannot be read" in done.stdout, done.stderr + done.stdout
        for report in "report.txt", "report.html":
            text = (tmp / "b.run" / report).read_text()
            assert all(name in text for name in bad) and "60000 x 60000" in text, report
    assert told("train", MODEL, data, "-o", tmp / "b.onnx", "--epochs", 1)["unreadable"] == 3
    assert told("eval", tmp / "b.onnx", data)["unreadable"] == 1
    found = json.loads(tvc("data", "check", data, "--json", code=1).stdout)["unreadable"]
    assert sorted(str(Path(u["path"]).relative_to(data)) for u in found) == sorted(bad)
    for p in sorted(data.glob("train/bar/*"))[:9]:
        p.write_bytes(b"x")
    done = train(data, tmp / "b.onnx", code=9, says="more than 5 %")
    assert re.search(r"train/\w+/00\d.png'", done.stderr) and "tvc data check" in done.stderr, done.stderr


# ---- phases ----

def changed(before, after):
    return {k for k in before if k in after and before[k].tobytes() != after[k].tobytes()}


def phases(tmp, data):
    before = {k: v for k, v in initializers(MODEL).items() if not k.startswith("fc.")}
    run = lambda *words: (train(data, tmp / "p.onnx", "--augment", "none", "-q", "--lr", 0.001, "--schedule", "constant", *words), initializers(tmp / "p.onnx"))[1]
    rows = lambda: [json.loads(s) for s in (tmp / "p.run" / "metrics.jsonl").read_text().splitlines()]
    assert not changed(before, run("--epochs", 3)), "more than the new head learned"
    norm = {f"stage3.bn2.{k}" for k in ("weight", "bias", "running_mean", "running_var")}
    moved = changed(before, run("--epochs", 3, "--unfreeze-at", "3=stage3.bn2.*"))
    assert max(range(3), key=lambda i: (rows()[i]["val_top1"], -rows()[i]["val_loss"])) == 2, "the last epoch is not the best: choose another rate"
    assert moved == norm, moved
    everything = changed(before, run("--epochs", 2, "--unfreeze-at", "1=all"))
    assert everything == set(before), set(before) - everything
    slow = changed(before, run("--epochs", 2, "--recipe", "full", "--bn", "stats", "--group", "stage3.conv*:lr=0,momentum=0,weight_decay=0"))
    assert set(before) - slow == {k for k in before if k.startswith("stage3.conv") or "running" in k}, set(before) - slow
    tvc("edit", MODEL, "--freeze", "stage1*,stage2*", "-o", tmp / "listed.onnx")
    listed = set(json.loads(next(p.value for p in onnx.load(str(tmp / "listed.onnx")).metadata_props if p.key == "tvc.frozen")))
    full = ("--epochs", 1, "--recipe", "full", "--augment", "none", "-q")
    for frozen, words in ((listed, ()), (set(), ("--freeze", "none"))):
        tvc("train", tmp / "listed.onnx", data, "-o", tmp / "p.onnx", *full, *words)
        assert listed and set(before) - changed(before, initializers(tmp / "p.onnx")) == frozen, (words, frozen)
    said = told("train", MODEL, data, "-o", tmp / "q.onnx", "--epochs", 60, "--patience", 2, "--lr", 0.02)
    assert said["epochs"] < 60 and said["epochs"] == said["best_epoch"] + 2, said
    train(data, tmp / "q.onnx", "--epochs", 40, "--schedule", "plateau:0.5,1", "--lr", 0.2, "-q")
    rates = [json.loads(s)["lr"] for s in (tmp / "q.run" / "metrics.jsonl").read_text().splitlines()]
    losses = [json.loads(s)["val_loss"] for s in (tmp / "q.run" / "metrics.jsonl").read_text().splitlines()]
    assert rates == plateau(losses, 0.2, 0.5, 1), rates
    for per, batch in ((4, 4), (15, 4), (20, 8)):
        noted = train(data, tmp / "q.onnx", "--epochs", 1, "--per-class", per).stderr
        assert f"--batch {batch} " in noted, noted


def plateau(losses, lr, factor, patience):
    import torch
    p = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([p], lr=lr)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=factor, patience=patience)
    rates = []
    for v in losses:
        rates.append(float(f"{optimizer.param_groups[0]['lr']:.9g}"))
        schedule.step(v)
    return rates


# ---- somebody watches ----

def on_terminal(*words):
    """What is shown on a terminal, line by line as it is renewed."""
    master, slave = pty.openpty()
    process = subprocess.Popen([TVC, *map(str, words)], stdout=slave, stderr=slave, env={**os.environ, "TERM": "xterm"})
    os.close(slave)
    text = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:
            break
        if not part:
            break
        text += part
    os.close(master)
    assert process.wait(60) == 0, text[-500:]
    return text.decode()


def watched(tmp, data):
    text = on_terminal("train", MODEL, data, "-o", tmp / "w.onnx", "--epochs", 3, "--cache-size", 0)
    for part in (r"features to learn from \d+/60  \d+ images/s  \d+ s left", r"features to validate with \d+/24  \d+ images/s  \d+ s left",
                 r"epoch \d/3 \d+/\d+  loss \d\.\d{4}  top1 \d\.\d{3}  lr \d\.\de-0\d  \d+ images/s  \d+ s left", r"next: tvc eval "):
        assert re.search(part, text), (part, text)
    assert re.search(r"pictures \d+/24  \d+ images/s", on_terminal("eval", tmp / "w.onnx", data))
    assert re.search(r"step \d+/30  lr", on_terminal("lr-find", MODEL, data, "--steps", 30))
    assert "\r" not in tvc("train", MODEL, data, "-o", tmp / "w.onnx", "--epochs", 1).stderr, "a line is renewed where nobody watches"
    found = told("lr-find", MODEL, data, "--steps", 40)
    assert {"suggestion", "valley", "steepest", "least", "rates", "losses", "smoothed"} <= set(found) and 1e-7 < found["suggestion"] < 10


def interrupted(tmp, data):
    """The first Ctrl-C ends the step, saves and says how to go on; a second one ends at once. Either way the run goes on to the same end."""
    write_idx(tmp, {name: (np.random.default_rng(n).integers(0, 256, (n, 28, 28), np.uint8), np.arange(n, dtype=np.uint8) % 3) for name, n in (("train", 400), ("t10k", 15))})
    words = [MODEL, tmp, "--recipe", "full", "--batch", 200, "--epochs", 3, "--augment", "none", "--save-every", 0, "--threads", 1]
    tvc("train", *words, "-o", tmp / "whole.onnx", "-q")
    for presses in 1, 2:
        for attempt in range(5):                           # the second may come too late, when all is done
            out, run = tmp / f"i{presses}{attempt}.onnx", tmp / f"i{presses}{attempt}.run"
            process = subprocess.Popen([TVC, "train", *map(str, words), "-o", str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            while not (run / "last.ckpt").exists():
                time.sleep(0.01)
            time.sleep(0.1)
            for _ in range(presses):
                process.send_signal(signal.SIGINT)
                time.sleep(0.03)
            began = time.time()
            said = process.communicate(timeout=60)[1]
            graceful = f"to go on: tvc train --resume {run}" in said
            if process.returncode == 130 and graceful == (presses == 1):
                break
        assert process.returncode == 130 and graceful == (presses == 1), (presses, process.returncode, said)
        assert presses == 1 or time.time() - began < 2, "a second Ctrl-C takes its time"
        assert not list(run.glob(".tvc-*")) and not out.exists(), "something half-made was left behind"
        tvc("train", "--resume", run, "-q")
        assert out.read_bytes() == (tmp / "whole.onnx").read_bytes(), f"{presses} times Ctrl-C changed the weights"


# ---- what is not finite ----

def diverging(tmp, data):
    """Pictures so bright that, of a squared error, the gradient overflows before the loss does: it is named. The best weights stay."""
    source, out = rows_of(data, lambda kind: [0], data.parent / "zero.jsonl"), tmp / "bright.onnx"
    words = ["train", MODEL, source, "--loss", "mse", "--optimizer", "sgd", "--lr", 0, "--batch", 1, "--mean", 0, "--std", 1, "-o", out, "-q"]
    for power in range(110, 130):
        done = subprocess.run([TVC, *map(str, words), "--epochs", "1", "--scale", str(1.5 ** power)], capture_output=True, text=True)
        if done.returncode:
            break
    assert done.returncode == 8 and re.search(r"step \d+ \(epoch 1, step \d+\): the gradient of 'fc.weight' is not finite", done.stderr), done.stderr
    assert (tmp / "bright.run" / "last.ckpt").exists() and not (tmp / "bright.run" / "best.onnx").exists()
    said = tvc("train", MODEL, data, "-o", tmp / "later.onnx", "--optimizer", "sgd", "--lr", 1e-3, "--schedule", "formula:1e9^(epoch*epoch)", code=8).stderr
    assert "not finite" in said and str(tmp / "later.run" / "best.onnx") in said and not (tmp / "later.onnx").exists(), said
    rows = [json.loads(s) for s in (tmp / "later.run" / "metrics.jsonl").read_text().splitlines()]
    best = max(rows, key=lambda r: (r["val_top1"], -r["val_loss"]))
    judged = told("eval", tmp / "later.run" / "best.onnx", data)
    assert abs(judged["loss"] / best["val_loss"] - 1) < 1e-4 and judged["top1"] == best["val_top1"], (judged, best)
    assert f"best    epoch {best['epoch']:.0f}" in (tmp / "later.run" / "report.txt").read_text()


# ---- the report ----

def report(tmp, data):
    out = tmp / "<b>&'r.onnx"
    rng = np.random.default_rng(3)
    odd = photos(tmp / "odd", 12, 8)
    for split in "train", "val":                           # a class that cannot be told from another, of a name that HTML could take amiss
        to = odd / split / "<img src=x>&\"disc\""
        to.mkdir()
        for i in range(8):
            drawing("disc", rng).save(to / f"{i}.png")
    train(odd, out, "--epochs", 4, "-q")
    run = tmp / "<b>&'r.run"
    text = (run / "report.html").read_text()
    from html.parser import HTMLParser
    tags, images, cells = [], [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.append(tag)
            for k, v in attrs:
                assert not re.match(r"(https?:|//|file:)", v or ""), (tag, k, v)
                if k == "src":
                    images.append(v)
        def handle_data(self, s):
            cells.append(s)
    Reader().feed(text)
    assert {"svg", "polyline", "table"} <= set(tags) and not {"script", "link", "iframe"} & set(tags)
    assert tags.count("polyline") == 4 and len(images) == 20 and all(v.startswith("data:image/") for v in images), images
    for v in images:
        im = Image.open(io.BytesIO(base64.b64decode(v.split(",", 1)[1])))
        im.load()
        assert 16 <= max(im.size) <= 256
    assert any("<img src=x>" in s for s in cells), "the class is not named"
    for heading in ("Loss", "Top-1 accuracy", "Classes", "Confusion", "Most confused", "Greatest loss"):
        assert heading in cells, heading
    judged = {c["label"]: c for c in told("eval", out, odd)["per_class"]}
    lines = (run / "report.txt").read_text()
    for name, c in judged.items():
        row = next(s for s in lines.splitlines() if s.startswith(name))
        assert abs(float(row[len(name):].split()[1]) - c["recall"]) < 1e-4, (row, c)
    rows = [json.loads(s) for s in (run / "metrics.jsonl").read_text().splitlines()]
    table = [s.split(",") for s in (run / "results.csv").read_text().splitlines()]
    assert table[0] == list(rows[0]) and len(table) == 5 and [float(v) for v in table[4]] == list(rows[3].values())
    assert {p.name for p in run.iterdir()} >= {"args.json", "metrics.jsonl", "results.csv", "best.onnx", "last.ckpt", "report.txt", "report.html"}
    assert (run / "best.onnx").read_bytes() == out.read_bytes()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        tmp = Path(name)
        data = photos(tmp / "photos")
        for part in (one_class, idx, several, numbers, exported, mistakes, pictures, phases, watched, interrupted, diverging, report):
            began = time.time()
            (tmp / part.__name__).mkdir()
            part(tmp / part.__name__, data)
            print(f"{part.__name__:12s} {time.time() - began:.1f} s", flush=True)
