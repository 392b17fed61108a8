"""tvc with its third-party libraries inside, as `cmake --preset static` links it, carried to machines with and without a GPU:
what it needs of the system, and what it says where a driver is missing, broken, too old, or has no GPU.

usage: carried.py TVC DRIVER NVRTC     (DRIVER, NVRTC: the stand-ins)
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from checks import check, exit_checks

TVC, DRIVER, NVRTC = sys.argv[1:4]
ROOT = Path(__file__).resolve().parent.parent
FASHION = ROOT / "examples" / "fashion" / "fashion7.onnx"
SYSTEM = {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0"}


def tvc(*words, code=0, driver=DRIVER, **env):
    around = {k: v for k, v in {**os.environ, "TVC_CUDA": driver, "TVC_NVRTC": NVRTC, **env}.items() if v is not None}
    done = subprocess.run([TVC, *map(str, words)], capture_output=True, text=True, timeout=600, env=around)
    check(f"tvc {' '.join(map(str, words))} ends with {code}", done.returncode == code, f"not {done.returncode}: {done.stderr}")
    return done.stdout, done.stderr


def needs():
    text = subprocess.run(["readelf", "-d", TVC], capture_output=True, text=True, check=True).stdout
    found = {n for n in re.findall(r"\(NEEDED\).*\[(.*)\]", text) if not n.startswith("ld-linux")}
    check("nothing is needed but the C library", found <= SYSTEM, found - SYSTEM)


def main():
    needs()
    with tempfile.TemporaryDirectory() as tmp:
        os.environ["TVC_CACHE"] = f"{tmp}/cache"
        photo = Path(tmp) / "p.pgm"
        photo.write_bytes(b"P5 28 28 255\n" + bytes((x * y * 7 + x * 3) % 256 for y in range(28) for x in range(28)))
        run = ("run", FASHION, photo, "--json")
        want = json.loads(tvc(*run, "--device", "cpu")[0])[0]["top"]
        # What is wrong with the driver, and what says so.
        cases = {"none": ("", {}, "no NVIDIA driver was found"), "a wrong path": (f"{tmp}/libcuda.so.1", {}, "no NVIDIA driver was found"),
                 "another library": ("libm.so.6", {}, "too old (it has no cuInit)"), "an old driver": (DRIVER, {"STANDIN_VERSION": "11080"}, "CUDA 11.8"),
                 "older than NVRTC": (DRIVER, {"STANDIN_VERSION": "12040"}, "driver 580"), "no GPU": (DRIVER, {"STANDIN_DEVICES": "0"}, "no NVIDIA GPU"),
                 "no memory": (DRIVER, {"STANDIN_FAIL": "cuDevicePrimaryCtxRetain:1:2"}, "out of memory")}
        for name, (driver, env, says) in cases.items():
            out, err = tvc(*run, "--device", "cuda", code=6 if name == "no memory" else 7, driver=driver, **env)
            check(f"{name}: one line", not out and says in err and len(err.splitlines()) == 1, err)
            if name == "no memory":
                continue
            out, err = tvc(*run, "--device", "auto", driver=driver, **env)
            check(f"{name}: auto takes the CPU", json.loads(out)[0]["top"] == want)
            check(f"{name}: and says why in one line", says in err and len(err.splitlines()) == 1, err)
            err = tvc(*run, driver=driver, **env)[1]
            there = name == "older than NVRTC"
            check(f"{name}: unasked only of a GPU that is there", len(err.splitlines()) == there and (not there or says in err), err)
            said = json.loads(tvc("devices", "--json", driver=driver, **env)[0])
            check(f"{name}: devices", name == "older than NVRTC" or (said["gpus"] == [] and says in said["gpus_why_none"]), said)
        for major in 13, 12:
            shutil.copy(NVRTC, f"{tmp}/libnvrtc.so.{major}")
        both = {"TVC_NVRTC": None, "LD_LIBRARY_PATH": tmp, "STANDIN_VERSION": "12040"}
        got = json.loads(tvc(*run, "--device", "cuda", **both)[0])[0]["top"]
        check("of two NVRTCs the one that fits the driver", all(abs(a["score"] - b["score"]) < 1e-4 for a, b in zip(got, want)))
        check("is what devices lists", "compiles to cuda:sm_90" in tvc("devices", **both)[0])
        got = json.loads(tvc(*run, "--device", "cuda")[0])[0]["top"]
        check("the GPU's scores", all(abs(a["score"] - b["score"]) < 1e-4 for a, b in zip(got, want)))
    exit_checks()


if os.uname().machine != "x86_64":
    print("skipped: the emulator switches threads in x86-64's own way")
    sys.exit(77)
main()
