#!/usr/bin/env python3
"""Training runs over real models and photos.

  hymenoptera  the head recipe reaches the accuracy a linear layer reaches; ONNX Runtime agrees with the file
  resume       a run stopped after every single step gives the bytes of one never stopped; so do 1, 2, 4 threads:
               a head on augmented pictures, and whole groups of batches with BatchNorm training
  scale        losses scaled on the way back: the same weights by any power of two; steps that overflow are skipped
  features     kept on disk between runs: the same weights, whatever happens to the file or the pictures
  frozen       initializers that were frozen leave as they came
  train_loop   killed at any moment and resumed; two runs in one folder; a run that diverges; what is refused
  kills        the same, 200 times killed
  disk_full    a disk that fills up during a run: checkpoints stay whole, training goes on (with a library to preload)

usage: train.py TVC SUBJECT [LIBRARY]
"""
import fnmatch
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TVC, SUBJECT, LIBRARY = sys.argv[1], sys.argv[2], "".join(sys.argv[3:])
ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("TVC_TEST_DATA", ROOT.parent / "shared" / "data"))
BEES = DATA / "datasets" / "hymenoptera_data"
CIFAR = DATA / "datasets" / "cifar10_jpg_subset"
TF = "--scale 1 --mean 127.5 --std 127.5".split()
CAFFE = "--scale 1 --order bgr --mean 104,117,123 --std 1".split()


def skip(why):
    print("skipped:", why)
    sys.exit(77)


def model(name):
    return DATA / "models" / name / "model.onnx"


def tvc(*words, code=0):
    """Run, check the exit code, return what was printed (stdout, stderr)."""
    done = subprocess.run([TVC, *map(str, words)], capture_output=True, text=True, timeout=900)
    if done.returncode != code:
        sys.exit(f"tvc {' '.join(map(str, words))}: exit {done.returncode} instead of {code}\n{done.stderr}")
    return done.stdout, done.stderr


def small(folder, classes=4, each=16):
    """A few CIFAR pictures: train and val of the first classes."""
    for split, source in (("train", "train"), ("val", "test")):
        for kind in sorted(p for p in (CIFAR / source).iterdir() if p.is_dir())[:classes]:
            to = folder / split / kind.name
            to.mkdir(parents=True)
            for picture in sorted(kind.iterdir())[:each]:
                shutil.copy(picture, to)
    return folder


def hymenoptera(tmp):
    import onnxruntime
    import numpy
    from PIL import Image

    def prepared(path, caffe):
        im = Image.open(path).convert("RGB")
        w, h = im.size
        size = (256, int(256 * h / w)) if w < h else (int(256 * w / h), 256)
        im = im.resize(size, Image.BILINEAR)
        left, top = int(round((size[0] - 224) / 2)), int(round((size[1] - 224) / 2))
        x = numpy.asarray(im.crop((left, top, left + 224, top + 224)), numpy.float32)
        x = x[:, :, ::-1] - numpy.array([104, 117, 123], numpy.float32) if caffe else (x - 127.5) / 127.5
        return x.transpose(2, 0, 1)[None].astype(numpy.float32)

    photos = [(p, k) for k, kind in enumerate(("ants", "bees")) for p in sorted((BEES / "val" / kind).iterdir())]
    for name, flags, least in (("mobilenet_v2_1.0_224_imagenet", TF, 0.94), ("mobilenet_v1_0.25_224_imagenet", TF, 0.87),
                               ("squeezenet1.1_imagenet", CAFFE, 0.90)):
        out = tmp / f"{name}.onnx"
        said = json.loads(tvc("train", model(name), BEES, *flags, "-o", out, "--json", "-q")[0])
        judged = json.loads(tvc("eval", out, BEES, "--json")[0])
        session = onnxruntime.InferenceSession(str(out))
        key = session.get_inputs()[0].name
        hits = sum(int(session.run(None, {key: prepared(p, flags is CAFFE)})[0].reshape(-1).argmax() == k) for p, k in photos)
        print(name, said["best_top1"], judged["top1"], hits / len(photos))
        assert said["best_top1"] >= least, name
        assert judged["top1"] == said["best_top1"] and judged["count"] == len(photos)
        assert hits == round(judged["top1"] * len(photos)), f"{name}: ONNX Runtime sees {hits} hits"


def stopped_everywhere(tmp, words, steps):
    """Stopped after every single one of these steps, or never; by 1, 2 or 4 threads."""
    for threads in (1, 2, 4):
        tvc(*words, "-o", tmp / f"whole{threads}.onnx", "-t", threads, "--workers", threads)
    whole = (tmp / "whole1.onnx").read_bytes()
    assert whole == (tmp / "whole2.onnx").read_bytes() == (tmp / "whole4.onnx").read_bytes(), "the threads matter"
    tvc(*words, "-o", tmp / "parts.onnx", "--stop-at", 1)
    for step in range(2, steps + 1):
        tvc("train", "--resume", tmp / "parts.run", "--stop-at", step, "-q")
    tvc("train", "--resume", tmp / "parts.run", "-q")
    assert whole == (tmp / "parts.onnx").read_bytes(), "stopping changed the weights"
    rows = [(tmp / f"{n}.run" / "results.csv").read_text().splitlines() for n in ("whole1", "parts")]
    assert len(rows[0]) == 7 and [r.rsplit(",", 1)[0] for r in rows[0]] == [r.rsplit(",", 1)[0] for r in rows[1]], "other rows"


def resume(tmp):
    photos = small(tmp / "photos", each=20)
    words = ["train", model("resnet20_cifar10"), photos, "--preset", "imagenet", "--batch", "8", "--epochs", "6", "--augment", "basic",
             "--dropout", "0.3", "--optimizer", "sgd", "--momentum", "0.9", "--ema", "0.9", "--lr", "0.05", "-q"]
    stopped_everywhere(tmp, words, 60)
    stopped_everywhere(tmp, [*words, "--accumulate", "4", "--freeze", "none", "--bn", "train", "--clip", "1", "--optimizer", "adamw",
                             "--balance", "--label-smoothing", "0.1"], 60)
    off = ["train", model("resnet20_cifar10"), photos, "--preset", "imagenet", "--batch", "8", "--epochs", "3", "-q", "-o"]
    tvc(*off, tmp / "kept.onnx")
    tvc(*off, tmp / "not.onnx", "--cache-features", "off")
    assert (tmp / "kept.onnx").read_bytes() == (tmp / "not.onnx").read_bytes(), "keeping features changed the weights"


def scale(tmp):
    photos, net = small(tmp / "photos", each=20), model("resnet20_cifar10")
    words = ["train", net, photos, "--preset", "imagenet", "--batch", "8", "--epochs", "3", "--freeze", "none", "--bn", "train",
             "--optimizer", "sgd", "--lr", "0.01", "--augment", "none", "-q", "--json"]

    def run(*more, code=0):
        said, err = tvc(*words, *more, "-o", tmp / "x.onnx", code=code)
        return (json.loads(said), (tmp / "x.onnx").read_bytes()) if code == 0 else err

    plain = run()[1]
    assert run("--loss-scale", 4096)[1] == run("--loss-scale", 2.0 ** -6)[1] == plain, "a power of two changed bits"
    said, weights = run("--loss-scale", "auto")
    assert weights == plain and said["loss_scale"] == 65536 and said["skipped_steps"] == 0
    group = ["--accumulate", 2]
    assert run(*group)[1] == run(*group, "--loss-scale", "auto")[1], "a power of two changed bits of a group"
    for more in ([], group, ["--clip", "1", "--ema", "0.9"]):
        said, _ = run("--loss-scale", f"auto:{2.0 ** 131}", *more)
        assert 0 < said["skipped_steps"] < 16 and abs(said["loss_scale"] / 2.0 ** (131 - said["skipped_steps"]) - 1) < 1e-8, said
        assert said["best_top1"] >= 0.3, said
    rows = (tmp / "x.run" / "results.csv").read_text().splitlines()
    at = rows[0].split(",").index("loss_scale")
    assert float(rows[-1].split(",")[at]) == said["loss_scale"], rows[-1]
    assert "gradient" in run("--loss-scale", 2.0 ** 131, code=8)
    assert "scaled by 0.00012207" in run("--loss-scale", "auto", "--lr", "1e30", "--epochs", 6, code=8)
    for bad in ("0", "-1", "inf", "some", "auto:x"):
        tvc(*words, "--loss-scale", bad, "-o", tmp / "x.onnx", code=2)
    said = json.loads(tvc("lr-find", net, photos, "--preset", "imagenet", "--batch", "8", "--freeze", "none", "--loss-scale",
                          f"auto:{2.0 ** 131}", "--steps", 20, "--json", "-q")[0])
    assert len(said["rates"]) >= 20 or said["diverged"]
    stopped_everywhere(tmp, [*words[:-1], "--epochs", "6", "--loss-scale", f"auto:{2.0 ** 131}", "--momentum", "0.9", *group], 60)


def features(tmp):
    photos, cache = small(tmp / "photos"), tmp / "cache"
    os.environ["TVC_CACHE"] = str(cache)
    words = ["train", model("resnet20_cifar10"), photos, "--preset", "imagenet", "--batch", "8", "--epochs", "3", "-q", "--json"]

    def run(*more):
        said = json.loads(tvc(*words, *more, "-o", tmp / "x.onnx")[0])
        return (tmp / "x.onnx").read_bytes(), said["unreadable"]

    def kept():
        return sorted((cache / "features").glob("*.features"))

    def state():
        return [(f.name, f.stat().st_ino) for f in kept()]

    plain = run("--cache-features", "off")
    assert not kept() and run("--cache-size", "0") == plain and not kept()
    assert run() == plain and len(kept()) == 2            # of train and of val
    before = state()
    assert run() == plain and state() == before, "what is there was computed again"
    random.seed(2)
    whole = {f: f.read_bytes() for f in kept()}
    for turn in range(9):
        for f, data in whole.items():
            at = random.choice((random.randrange(100), random.randrange(len(data))))
            f.write_bytes(data[:at] if turn % 3 == 0 else data[:at] + bytes([data[at] ^ 1 << turn % 8]) + data[at + 1:])
        assert run() == plain, f"damaged features changed the weights (turn {turn})"
        assert {f: f.read_bytes() for f in kept()} == whole, "damage was not mended"
    views = ["--augment", "basic", "--cache-features"]
    drawn = run(*views, "off")
    assert run(*views, "3") == drawn == run(*views, "3") and len(kept()) == 3
    first, second = sorted((photos / "train").glob("*/*"))[:2]
    shutil.copy(second, first)                            # another picture under an old name
    assert run() == run("--cache-features", "off") != plain
    first.write_bytes(b"none")
    assert run() == run("--cache-features", "off") == run() and run()[1] == 1
    sizes = sorted(f.stat().st_size for f in kept())
    run("--seed", "5", *views, "2", "--cache-size", sizes[-1] * 1.5e-9)
    assert 0 < sum(f.stat().st_size for f in kept()) <= sizes[-1] * 1.5, "more is kept than allowed"
    print("features", len(whole), "files,", sum(map(len, whole.values())), "bytes")


def initializers(path):
    import onnx
    from onnx import numpy_helper
    return {t.name: numpy_helper.to_array(t).tobytes() for t in onnx.load(str(path)).graph.initializer}


def nodes_of_constants(source, path):
    """The same model, its initializers as Constant nodes."""
    import onnx
    document = onnx.load(str(source))
    g = document.graph
    names = {t.name for t in g.initializer}
    nodes = [onnx.helper.make_node("Constant", [], [t.name], value=t) for t in g.initializer] + list(g.node)
    inputs = [i for i in g.input if i.name not in names]
    del g.node[:], g.initializer[:], g.input[:]
    g.node.extend(nodes), g.input.extend(inputs)
    onnx.save(document, str(path))


def frozen_parts(tmp, photos):
    """Frozen in front, learning behind; BatchNorm in both parts: scale, shift and running statistics of the one stay."""
    for name, globs in (("resnet20_cifar10", "conv1*,bn1*,layer1*,layer2.0*"), ("densenet_bc_40_12_cifar10", "conv1*,block1*,trans1*")):
        before, out = initializers(model(name)), tmp / "parts.onnx"
        held = {k for k in before if any(fnmatch.fnmatchcase(k, g) for g in globs.split(","))}
        for recipe in ("full", "finetune"):                  # finetune begins with the head alone
            tvc("train", model(name), photos, "--recipe", recipe, "--freeze", globs, "--epochs", "2", "--batch", "16", "--lr", "0.001", "--augment",
                "none", "-q", "-o", out)
            after = initializers(out)
            moved = {k for k in before if k in after and before[k] != after[k]}
            statistics = {k for k in held if "running_" in k}
            assert not moved & held, f"{name} {recipe}: {sorted(moved & held)[:3]} was frozen"
            rest = {k for k in before if k in after and k not in held and re.search(r"\.(weight|bias|running_\w+)$", k)}
            assert len(statistics) > 5 and rest <= moved, (name, recipe, sorted(rest - moved)[:3])
            print(name, recipe, len(held), "frozen,", len(statistics), "of them statistics;", len(moved), "learned")


def frozen(tmp):
    photos, few = small(tmp / "photos"), small(tmp / "few", 2, 6)
    for folder in sorted((DATA / "models").iterdir()):
        name, large = folder.name, "224" in folder.name or "squeezenet" in folder.name
        before, out = initializers(model(name)), tmp / f"{name}.onnx"
        tvc("train", model(name), few if large else photos, "--preset", "imagenet", "--epochs", "2", "--lr", "0.001", "-q", "-o", out)
        after = initializers(out)
        changed = [k for k in before if k in after and before[k] != after[k]]
        new = [k for k in after if k not in before]
        print(name, "changed:", changed, "new:", new)
        assert 0 < len(changed) + len(new) <= 3, f"{name}: more than the head changed, or nothing"
    frozen_parts(tmp, photos)
    nodes_of_constants(model("resnet20_cifar10"), tmp / "constants.onnx")
    for recipe, freed in (("head", 2), ("full", 200)):
        words = [photos, "--preset", "imagenet", "--epochs", "2", "--recipe", recipe, "--augment", "none", "-q", "-o"]
        tvc("train", model("resnet20_cifar10"), *words, tmp / "inits.onnx")
        tvc("train", tmp / "constants.onnx", *words, tmp / "mine.onnx")
        a, b, before = (initializers(p) for p in (tmp / "inits.onnx", tmp / "mine.onnx", model("resnet20_cifar10")))
        changed = sum(b[k] != before[k] for k in before if k in b)
        print(recipe, "with weights in nodes:", changed, "changed")
        assert all(a[k] == b[k] for k in a if k in b) and len(b) > 60 and changed <= freed, "weights in Constant nodes learn otherwise"
    said = tvc("train", model("resnet20_cifar10"), photos, "--preset", "imagenet", "--freeze", "all", "-o", tmp / "x.onnx", code=2)[1]
    assert "nothing to train" in said, said


def killed(tmp, words, kills):
    """SIGKILL at random moments, until it has happened so often; every run ends in the bytes of one left alone."""
    tvc(*words, "-o", tmp / "compiled.onnx")
    began = time.time()
    tvc(*words, "-o", tmp / "whole.onnx")
    took, whole = time.time() - began, (tmp / "whole.onnx").read_bytes()
    random.seed(1)
    done = runs = 0
    out, run = tmp / "killed.onnx", tmp / "killed.run"
    while done < kills:
        resumable = (run / "args.json").exists()
        again = ["train", "--resume", str(run), "-q"] if resumable else [*map(str, words), "-o", str(out)]
        process = subprocess.Popen([TVC, *again], stderr=subprocess.PIPE)
        try:
            process.wait(random.uniform(0.05, took))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            done += 1
            continue
        assert process.returncode == 0, f"a killed run does not resume: {process.stderr.read().decode()}"
        assert out.read_bytes() == whole, "being killed changed the weights"
        runs += 1
        out.unlink(), shutil.rmtree(run)
    if run.exists():
        tvc("train", "--resume", run, "-q")
        assert out.read_bytes() == whole, "being killed changed the weights"
    print("killed", done, "times,", runs, "runs came to their end meanwhile")


def looped(photos):
    return ["train", model("resnet20_cifar10"), photos, "--preset", "imagenet", "--batch", "8", "--epochs", "4", "--augment", "basic",
            "--save-every", "0", "-q"]


def kills(tmp):
    killed(tmp, looped(small(tmp / "photos")), 200)


def disk_full(tmp):
    flag, run = tmp / "full", tmp / "run"
    environment = {**os.environ, "LD_PRELOAD": LIBRARY, "DISK_FULL": str(flag), "DISK_FULL_UNDER": str(run)}
    words = [*looped(small(tmp / "photos")), "--epochs", "40", "--run-dir", run]
    words.remove("-q")
    tvc(*words, "--run-dir", tmp / "whole.run", "-o", tmp / "whole.onnx")

    def until(happened, process):
        for _ in range(1200):
            if happened():
                return
            assert process.poll() is None, (tmp / "said").read_text()[-2000:]
            time.sleep(0.05)
        sys.exit("it does not happen: " + (tmp / "said").read_text()[-2000:])

    def resumes(name):
        """A copy of the folder as it stands goes on to the same end."""
        shutil.copytree(run, tmp / f"{name}.run")
        tvc("train", "--resume", tmp / f"{name}.run", "-o", tmp / f"{name}.onnx", "-q")
        assert (tmp / f"{name}.onnx").read_bytes() == (tmp / "whole.onnx").read_bytes(), name

    def state():
        return (run / "last.ckpt").stat().st_mtime_ns

    said = open(tmp / "said", "w+")
    process = subprocess.Popen([TVC, *map(str, words), "-o", str(tmp / "mine.onnx")], env=environment, stdout=said, stderr=said, text=True)
    until((run / "last.ckpt").exists, process)
    flag.touch()
    until(lambda: "no checkpoint could be written" in (tmp / "said").read_text(), process)
    old, epochs = state(), (tmp / "said").read_text().count("val loss")
    until(lambda: (tmp / "said").read_text().count("val loss") > epochs + 1, process)
    assert state() == old and "training goes on" in (tmp / "said").read_text() and "No space left" in (tmp / "said").read_text()
    assert not list(run.glob(".tvc-*")), "a part of a checkpoint was left behind"
    process.send_signal(signal.SIGSTOP)
    resumes("copied")                                     # the machine might go down now
    process.send_signal(signal.SIGCONT)
    flag.unlink()
    until(lambda: state() != old, process)
    assert process.wait(300) == 0, (tmp / "said").read_text()
    assert (tmp / "mine.onnx").read_bytes() == (tmp / "whole.onnx").read_bytes(), "a full disk changed the weights"

    shutil.rmtree(run)                                    # full when it is to be stopped: said, and the old one counts
    process = subprocess.Popen([TVC, *map(str, words), "-o", str(tmp / "mine.onnx")], env=environment, stdout=said, stderr=subprocess.PIPE, text=True)
    until((run / "last.ckpt").exists, process)
    flag.touch()
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    text = process.communicate(timeout=60)[1]
    assert process.returncode == 5 and "No space left" in text and "tvc train --resume" in text, (process.returncode, text)
    flag.unlink()
    resumes("stopped")
    print("the disk was full, and nothing was lost")


def train_loop(tmp):
    photos = small(tmp / "photos")
    words = looped(photos)
    killed(tmp, words, 12)
    process = subprocess.Popen([TVC, *map(str, words), "--epochs", "100000", "-o", str(tmp / "int.onnx")], stderr=subprocess.PIPE, text=True)
    while not (tmp / "int.run" / "last.ckpt").exists():
        time.sleep(0.05)
    assert "another run" in tvc(*words, "-o", tmp / "int.onnx", code=2)[1]
    for _ in range(600):                                  # those who look on see its rows
        if (tmp / "int.run" / "results.csv").exists() and (tmp / "int.run" / "results.csv").read_text().count("\n") > 2:
            break
        time.sleep(0.05)
    assert process.poll() is None and (tmp / "int.run" / "metrics.jsonl").read_text().count('"val_loss"') > 0, "no rows while it runs"
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and f"tvc train --resume {tmp}/int.run" in said, said

    said = tvc(*words, "--optimizer", "sgd", "--lr", "1e38", "-o", tmp / "nan.onnx", code=8)[1]
    assert "step 2 (epoch 1, step 2): the model's output 'output' is not finite" in said, said
    assert "--batch" in tvc("train", "--resume", tmp / "whole.run", "--batch", "4", code=3)[1]
    assert "another --seed" in tvc("train", "--resume", tmp / "whole.run", "--seed", "4", code=3)[1]
    first = next((photos / "train").glob("*/*"))
    first.unlink()
    assert "other pictures" in tvc("train", "--resume", tmp / "whole.run", code=3)[1]
    (photos / "val" / "unheard-of").mkdir()
    shutil.copy(next((photos / "val").glob("*/*.*")), photos / "val" / "unheard-of" / "x.jpg")
    tvc(*words, "-o", tmp / "classes.onnx", code=9)
    tvc("eval", tmp / "whole.onnx", photos, code=9)


if __name__ == "__main__":
    if not BEES.is_dir() or not CIFAR.is_dir():
        skip(f"{DATA} has no data sets")
    if SUBJECT in ("hymenoptera", "frozen"):
        try:
            import onnx
            import onnxruntime
        except ImportError as missing:
            skip(f"{missing.name} is not installed")
    with tempfile.TemporaryDirectory() as folder:
        {"hymenoptera": hymenoptera, "resume": resume, "frozen": frozen, "train_loop": train_loop, "kills": kills, "features": features, "scale": scale,
         "disk_full": disk_full}[SUBJECT](Path(folder))
