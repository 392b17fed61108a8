"""tests/gpu.sh on the stand-ins of a GPU, with as little as shows that each stage still does what it says; on a GPU the same
stages take everything.

usage: gpu_script.py BUILD DRIVER NVRTC
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from checks import needed

with needed():
    import onnx
    import torch

BUILD, DRIVER, NVRTC = sys.argv[1:4]
ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("TVC_TEST_DATA", ROOT.parent / "shared" / "data"))
if not (DATA / "onnx_backend").is_dir() or os.uname().machine != "x86_64":
    print("skipped: no", DATA / "onnx_backend")
    sys.exit(77)


def stage(name, tmp, code=0, says="", **more):
    env = {**os.environ, "TVC_CUDA": DRIVER, "TVC_NVRTC": NVRTC, "TVC_CUBLASLT": "", "GPU_BUILD": BUILD, "GPU_DATA": f"{tmp}/data",
           "GPU_OUT": f"{tmp}/out", "GPU_RESULTS": f"{tmp}/results", "GPU_PYTHON": sys.executable, "GPU_LIMIT": "400",
           "TVC_CACHE": f"{tmp}/cache", **more}
    env = {k: v for k, v in env.items() if v is not None}
    done = subprocess.run(["bash", str(ROOT / "tests" / "gpu.sh"), name], capture_output=True, text=True, env=env)
    log = Path(env["GPU_OUT"]) / f"{name}.log"
    if done.returncode != code or says not in done.stdout:
        sys.exit(f"stage {name}: exit {done.returncode}, not {code}\n{done.stdout}{done.stderr}\n{log.read_text()[-3000:] if log.exists() else ''}")
    return done.stdout


def hidden(tmp):
    """NVRTC as a Python package alone: the loader does not know of it."""
    there, folder = tmp / "site" / "nvidia" / "cu13" / "lib", tmp / "bin"
    there.mkdir(parents=True), folder.mkdir()
    (there / "libnvrtc.so.13").symlink_to(NVRTC)
    (folder / "ldconfig").write_text("#!/bin/sh\n")
    (folder / "ldconfig").chmod(0o755)
    return {"TVC_NVRTC": None, "PYTHONPATH": str(tmp / "site"), "PATH": f"{folder}:{os.environ['PATH']}"}


def photos(folder):
    for k, name in enumerate(("train/a", "train/b", "val/a", "val/b")):
        (folder / name).mkdir(parents=True)
        for i in range(2):
            pixels = bytes((x * (y if k % 2 else 3) * 7 + i * 31) % 256 for y in range(28) for x in range(28))
            (folder / name / f"{i}.pgm").write_bytes(b"P5 28 28 255\n" + pixels)
    return str(folder)


def main(tmp):
    data = Path(tmp) / "data"
    data.mkdir()
    for part in ("onnx_backend", "models"):
        (data / part).symlink_to((DATA / part).resolve())
    subprocess.run([sys.executable, str(ROOT / "bench" / "networks.py"), "pack", str(data / "nets"), "tiny"], check=True, stdout=subprocess.DEVNULL)
    stage("devices", tmp, says="2 steps passed, none failed")
    stage("devices", tmp, code=1, says="FAILED a GPU", GPU_OUT=f"{tmp}/out-none", TVC_NVRTC="")
    stage("devices", tmp, says="2 steps passed, none failed", GPU_OUT=f"{tmp}/out-found", **hidden(Path(tmp)))
    stage("ops", tmp, code=3, says="out of time", GPU_LIMIT="-1")
    stage("ops", tmp, says="1 steps passed, none failed", GPU_ONLY="^test_mul_uint8 ")
    stage("grads", tmp, says="1 steps passed, none failed", GPU_ONLY="resnet8")
    stage("grads", tmp, says="1 steps passed, none failed", GPU_ONLY="resnet8", TVC_CUDA=DRIVER)
    stage("models", tmp, says="2 steps passed, none failed", GPU_ONLY="mnist")
    stage("models", tmp, code=1, says="FAILED", GPU_ONLY="parity small", TVC_CUDA="")
    stage("sanitize", tmp, GPU_ONLY="nothing")
    stage("train", tmp, says="5 steps passed, none failed", GPU_MODEL=str(ROOT / "examples" / "fashion" / "fashion7.onnx"),
          GPU_PHOTOS=photos(Path(tmp) / "photos"))
    stage("bench-2", tmp, code=3, says="out of time", GPU_NETS="tiny", GPU_LIMIT="-1")
    stage("bench-2", tmp, says="table: ", GPU_NETS="tiny")
    assert "eager" not in stage("bench-2", tmp, GPU_NETS="tiny"), "measured again"
    table = (Path(tmp) / "results" / "stand-in-gpu-0.md").read_text()
    assert "tiny | 2 | bf16" in table and "by eager" in table and table.count("## ") == 3, table
    stage("nonsense", tmp, code=2, says="no stage")


with tempfile.TemporaryDirectory() as scratch:
    main(scratch)
