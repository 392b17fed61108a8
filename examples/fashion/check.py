#!/usr/bin/env python3
"""Judges what tvc said about Fashion-MNIST's pictures.

usage: check.py                          says whether it could judge: 0, or 1 without ONNX Runtime
       check.py answers MODEL ANSWERS.json LABELS.idx.gz
           counts the right answers among pictures of classes that the model knows
       check.py accepts MODEL ANSWERS.json PICTURES.idx.gz
           loads the model into ONNX Runtime and compares its probabilities

ANSWERS.json is what `tvc run MODEL FILE.idx.gz:0-N --json` printed for picture 0 and on.
"""
import gzip
import json
import sys

import numpy as np
import onnxruntime

NAMES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
         "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
LEAST = 0.88                             # of the right answers; pretrain.py measured 0.91


def read_idx(path):
    with gzip.open(path) as f:
        raw = f.read()
    rank = raw[3]
    shape = np.frombuffer(raw, ">u4", rank, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def session(model):
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def metadata(model, key):
    return json.loads(session(model).get_modelmeta().custom_metadata_map[key])


def answers(model, said, labels):
    known = metadata(model, "tvc.labels")
    truth = [NAMES[k] for k in read_idx(labels)[:len(said)]]
    judged = [(s["top"][0]["label"], t) for s, t in zip(said, truth) if t in known]
    right = sum(s == t for s, t in judged)
    print(f"{right} of {len(judged)} pictures of classes it knows are named right ({100 * right / len(judged):.1f} %)")
    return judged and right >= LEAST * len(judged)


def prepared(model, pictures):
    """Pictures of the right size as the model's own recipe wants them."""
    recipe = metadata(model, "tvc.preprocess")
    x = pictures[:, None].astype(np.float32) / np.float32(255)
    return (x - np.float32(recipe["mean"][0])) / np.float32(recipe["std"][0])


def accepts(model, said, pictures):
    known, run = metadata(model, "tvc.labels"), session(model)
    logits, = run.run(None, {run.get_inputs()[0].name: prepared(model, read_idx(pictures)[:len(said)])})
    e = np.exp(logits - logits.max(1, keepdims=True))
    expected = e / e.sum(1, keepdims=True)
    got = np.zeros_like(expected)
    for row, s in zip(got, said):
        for t in s["top"]:
            row[t["index"]] = t["score"]
    error = np.abs(got - expected).max()
    print(f"ONNX Runtime {onnxruntime.__version__} accepts {model}: {logits.shape[1]} classes, "
          f"probabilities differ by at most {error:.1e} on {len(said)} pictures")
    return logits.shape[1] == len(known) and error < 1e-4


def main():
    if len(sys.argv) == 1:
        return
    if len(sys.argv) != 5 or sys.argv[1] not in ("answers", "accepts"):
        sys.exit(__doc__)
    with open(sys.argv[3]) as f:
        said = json.load(f)
    judge = answers if sys.argv[1] == "answers" else accepts
    sys.exit(0 if judge(sys.argv[2], said, sys.argv[4]) else 1)


if __name__ == "__main__":
    main()
