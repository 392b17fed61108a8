"""Real photos through real networks: as many right answers as the same files give in ONNX Runtime with Pillow.

usage: photos.py TVC
Skipped (exit 77) without the test data. The comparison on raw crops needs numpy.
"""
import csv
import json
import os
import subprocess
import sys
import tempfile

TVC = sys.argv[1]
DATA = os.environ.get("TVC_TEST_DATA", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "shared", "data"))
PHOTOS = f"{DATA}/datasets/imagenet_sample50"
SQUEEZENET, MOBILENET = (f"{DATA}/models/{m}/model.onnx" for m in ("squeezenet1.1_imagenet", "mobilenet_v2_1.0_224_imagenet"))
if not os.path.isdir(PHOTOS):
    print(f"skipped: no photos at {PHOTOS}: set TVC_TEST_DATA")
    sys.exit(77)
bad = 0


def run(model, *args):
    r = subprocess.run([TVC, "run", model, *args, "--json", "-q"], capture_output=True, text=True, timeout=600)
    if r.returncode:
        sys.exit(f"tvc run {model}: exit {r.returncode}: {r.stderr}")
    return json.loads(r.stdout)


def from_jpegs(model, least, *recipe):
    global bad
    with open(f"{PHOTOS}/labels.csv") as f:
        truth = {row["file"]: int(row["class_index"]) for row in csv.DictReader(f)}
    said = run(model, f"{PHOTOS}/images", "--top", "1", *recipe)
    right = sum(truth[os.path.basename(s["file"])] == s["top"][0]["index"] for s in said)
    bad += len(said) != 50 or right < least
    print(f"{os.path.basename(os.path.dirname(model))}: {right} of {len(said)} right, at least {least} are wanted")


def from_crops(model, column, prepare):
    """The five best of each crop, in order, as ONNX Runtime found them."""
    global bad
    with open(f"{PHOTOS}/expected_top5_ort1.30.csv") as f:
        want = [[int(x) for x in row[column].split()] for row in csv.DictReader(f)]
    crops = np.fromfile(f"{PHOTOS}/crops_50x224x224x3_rgb_u8.bin", np.uint8).reshape(50, 224, 224, 3)
    x = prepare(crops.astype(np.float32)).transpose(0, 3, 1, 2)
    same = 0
    with tempfile.TemporaryDirectory() as folder:
        for k in range(50):
            np.save(f"{folder}/x.npy", np.ascontiguousarray(x[k:k + 1]))
            name = "data_0" if model == SQUEEZENET else "input"
            top = run(model, "--input", f"{name}={folder}/x.npy", "--top", "5")[0]["top"]
            same += [t["index"] for t in top] == want[k]
    bad += same != 50
    print(f"{os.path.basename(os.path.dirname(model))}: the five best of {same} of 50 crops are ONNX Runtime's")


from_jpegs(SQUEEZENET, 31, "--order", "bgr", "--scale", "1", "--mean", "104,117,123", "--std", "1")
from_jpegs(MOBILENET, 42, "--scale", "1", "--mean", "127.5", "--std", "127.5")
try:
    import numpy as np
except ImportError:
    print("skipped: crops (numpy is missing)")
    sys.exit(bad > 0)
from_crops(SQUEEZENET, "squeezenet1.1_imagenet_top5", lambda x: x[..., ::-1] - np.array([104, 117, 123], np.float32))
from_crops(MOBILENET, "mobilenet_v2_1.0_224_imagenet_top5", lambda x: (x - 127.5) / np.float32(127.5))
sys.exit(bad > 0)
