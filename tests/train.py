#!/usr/bin/env python3
"""Training runs over real models and photos.

  hymenoptera  the head recipe reaches the accuracy a linear layer reaches; ONNX Runtime agrees with the file
  resume       a run stopped after every single step gives the bytes of one never stopped; so do 1, 2, 4 threads
  frozen       initializers that were frozen leave as they came
  train_loop   killed at any moment and resumed; two runs in one folder; a run that diverges; what is refused

usage: train.py TVC SUBJECT
"""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TVC, SUBJECT = sys.argv[1], sys.argv[2]
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


def resume(tmp):
    photos = small(tmp / "photos", each=20)
    words = ["train", model("resnet20_cifar10"), photos, "--preset", "imagenet", "--batch", "8", "--epochs", "6", "--augment", "basic",
             "--dropout", "0.3", "--optimizer", "sgd", "--momentum", "0.9", "--ema", "0.9", "--lr", "0.05", "-q"]
    for threads in (1, 2, 4):
        tvc(*words, "-o", tmp / f"whole{threads}.onnx", "-t", threads, "--workers", threads)
    whole = (tmp / "whole1.onnx").read_bytes()
    assert whole == (tmp / "whole2.onnx").read_bytes() == (tmp / "whole4.onnx").read_bytes(), "the threads matter"
    tvc(*words, "-o", tmp / "parts.onnx", "--stop-at", 1)
    for step in range(2, 61):
        tvc("train", "--resume", tmp / "parts.run", "--stop-at", step, "-q")
    tvc("train", "--resume", tmp / "parts.run", "-q")
    assert whole == (tmp / "parts.onnx").read_bytes(), "stopping changed the weights"
    rows = [(tmp / f"{n}.run" / "results.csv").read_text().splitlines() for n in ("whole1", "parts")]
    assert len(rows[0]) == 7 and [r.rsplit(",", 1)[0] for r in rows[0]] == [r.rsplit(",", 1)[0] for r in rows[1]], "other rows"
    off = ["train", model("resnet20_cifar10"), photos, "--preset", "imagenet", "--batch", "8", "--epochs", "3", "-q", "-o"]
    tvc(*off, tmp / "kept.onnx")
    tvc(*off, tmp / "not.onnx", "--cache-features", "off")
    assert (tmp / "kept.onnx").read_bytes() == (tmp / "not.onnx").read_bytes(), "keeping features changed the weights"


def initializers(path):
    import onnx
    from onnx import numpy_helper
    return {t.name: numpy_helper.to_array(t).tobytes() for t in onnx.load(str(path)).graph.initializer}


def frozen(tmp):
    photos = small(tmp / "photos")
    for name in ("resnet20_cifar10", "densenet_bc_40_12_cifar10", "smallcnn_cifar10_winml"):
        before = initializers(model(name))
        out = tmp / f"{name}.onnx"
        tvc("train", model(name), photos, "--preset", "imagenet", "--epochs", "2", "-q", "-o", out)
        after = initializers(out)
        changed = [k for k in before if k in after and before[k] != after[k]]
        new = [k for k in after if k not in before]
        print(name, "changed:", changed, "new:", new)
        assert len(changed) + len(new) <= 3, f"{name}: more than the head changed"
    said = tvc("train", model("resnet20_cifar10"), photos, "--preset", "imagenet", "--freeze", "all", "-o", tmp / "x.onnx", code=2)[1]
    assert "nothing to train" in said, said


def train_loop(tmp):
    photos = small(tmp / "photos")
    words = ["train", model("resnet20_cifar10"), photos, "--preset", "imagenet", "--batch", "8", "--epochs", "4", "--augment", "basic",
             "--save-every", "0", "-q"]
    tvc(*words, "-o", tmp / "whole.onnx")
    random.seed(1)
    kills = 0
    begin = [TVC, *map(str, words), "-o", str(tmp / "killed.onnx")]
    again = [TVC, "train", "--resume", str(tmp / "killed.run"), "-q"]
    for turn in range(40):
        process = subprocess.Popen(begin if turn == 0 else again, stderr=subprocess.PIPE)
        try:
            process.wait(random.uniform(0.2, 1.2) if turn else 1)
            said = process.stderr.read().decode()
            assert process.returncode == 0, f"a killed run does not resume: {said}"
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
    tvc("train", "--resume", tmp / "killed.run", "-q")
    print("killed", kills, "times")
    assert (tmp / "killed.onnx").read_bytes() == (tmp / "whole.onnx").read_bytes(), "being killed changed the weights"

    process = subprocess.Popen([TVC, *map(str, words), "--epochs", "100000", "-o", str(tmp / "int.onnx")], stderr=subprocess.PIPE, text=True)
    while not (tmp / "int.run" / "last.ckpt").exists():
        time.sleep(0.05)
    assert "another run" in tvc(*words, "-o", tmp / "int.onnx", code=2)[1]
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and f"tvc train --resume {tmp}/int.run" in said, said

    said = tvc(*words, "--optimizer", "sgd", "--lr", "1e38", "-o", tmp / "nan.onnx", code=8)[1]
    assert "step" in said and "not finite" in said, said
    assert "--batch" in tvc("train", "--resume", tmp / "killed.run", "--batch", "4", code=3)[1]
    assert "another --seed" in tvc("train", "--resume", tmp / "killed.run", "--seed", "4", code=3)[1]
    first = next((photos / "train").glob("*/*"))
    first.unlink()
    assert "other pictures" in tvc("train", "--resume", tmp / "killed.run", code=3)[1]
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
        {"hymenoptera": hymenoptera, "resume": resume, "frozen": frozen, "train_loop": train_loop}[SUBJECT](Path(folder))
