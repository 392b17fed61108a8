"""What tvc says of NVIDIA's libraries, which it opens at run time without their headers, against those headers: the type of
every function in runtime/cuda_driver.h and codegen/target_cuda.c, every constant. No GPU and no driver is needed.

usage: cuda_header.py CC     skipped (exit 77) where the toolkit's headers are not installed
"""
import glob
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

CC = sys.argv[1]
ROOT = Path(__file__).resolve().parent.parent
FOLDERS = [os.environ.get("CUDA_HOME", "") + "/include", "/usr/local/cuda/include", *sorted(glob.glob("/usr/local/cuda-*/include"))]

# Our names of the driver's types, and of what is a plain number with us and an enumeration there.
TYPES = {"CuDevice": "CUdevice", "CuPointer": "CUdeviceptr", "CuContext": "CUcontext", "CuStream": "CUstream", "CuEvent": "CUevent",
         "CuModule": "CUmodule", "CuFunction": "CUfunction", "CuGraph": "CUgraph", "CuExec": "CUgraphExec", "CuHostFn *": "CUhostFn ",
         "int error": "CUresult error", "int attribute": "CUdevice_attribute attribute", "int mode": "CUstreamCaptureMode mode"}
# Numbers written down in runtime/.
NUMBERS = {"CUDA_OUT_OF_MEMORY": "CUDA_ERROR_OUT_OF_MEMORY", "CUDA_NO_DEVICE": "CUDA_ERROR_NO_DEVICE",
           "CUDA_INVALID_IMAGE": "CUDA_ERROR_INVALID_IMAGE", "CUDA_NO_BINARY_FOR_GPU": "CUDA_ERROR_NO_BINARY_FOR_GPU",
           "CUDA_UNSUPPORTED_PTX": "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "CUDA_NOT_FOUND": "CUDA_ERROR_NOT_FOUND",
           "MULTIPROCESSORS": "CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT", "MAJOR": "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR",
           "MINOR": "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR", "NON_BLOCKING": "CU_STREAM_NON_BLOCKING",
           "NO_TIMING": "CU_EVENT_DISABLE_TIMING", "PORTABLE": "CU_MEMHOSTALLOC_PORTABLE", "MAPPED": "CU_MEMHOSTALLOC_DEVICEMAP",
           "THREAD_LOCAL": "CU_STREAM_CAPTURE_MODE_THREAD_LOCAL"}


def renamed(text):
    for ours, theirs in TYPES.items():
        text = re.sub(rf"\b{re.escape(ours)}(?!\w)" if ours[-1] != "*" else re.escape(ours), theirs, text)
    return text


def driver_functions():
    text = (ROOT / "runtime" / "cuda_driver.h").read_text().replace("\\\n", " ")
    rows = re.findall(r'X\((\w+),\s*"(\w+)",\s*(\([^()]*\))\)', text)
    assert len(rows) == len(re.findall(r'X\(\w+,\s*"', text)) > 30, "a row of the table was not understood"
    return [(symbol, parameters) for _, symbol, parameters in rows]


def nvrtc_functions():
    text = (ROOT / "codegen" / "target_cuda.c").read_text()
    rows = re.findall(r"int \(\*(\w+)\)(\([^;]*\));", text[text.index("typedef struct Nvrtc"):text.index("} Nvrtc;")])
    assert len(rows) >= 10
    return [("nvrtc" + name, re.sub(r"void \*(\*?)p\b", r"nvrtcProgram \1p", parameters)) for name, parameters in rows]


def numbers():
    text = "".join(p.read_text() for p in sorted((ROOT / "runtime").glob("*cuda*")))
    for ours, theirs in NUMBERS.items():
        found = set(re.findall(rf"\b{ours} = (\d+)", text))
        assert len(found) == 1, f"{ours} is {found or 'nowhere'}"
        yield f'_Static_assert({theirs} == {found.pop()}, "{ours}");'


def same_type(symbol, result, parameters):
    return f'_Static_assert(__builtin_types_compatible_p(__typeof__(&{symbol}), {result} (*){parameters}), "{symbol}");'


def compiles(folder, include, text):
    path = Path(folder) / "check.c"
    path.write_text(text)
    return subprocess.run([CC, "-std=c11", "-fsyntax-only", "-isystem", include, str(path)], capture_output=True, text=True)


def main():
    include = next((f for f in FOLDERS if os.path.exists(f + "/cuda.h") and os.path.exists(f + "/nvrtc.h")), None)
    if not include:
        print("skipped: the CUDA toolkit's headers are not installed")
        sys.exit(77)
    # Entry points of the driver have versions: cuda.h names the newest ones, and the earlier ones with this macro.
    lines = ["#define __CUDA_API_VERSION_INTERNAL", "#include <cuda.h>", "#include <nvrtc.h>"]
    driver = driver_functions()
    lines += [same_type(symbol, "CUresult", renamed(parameters)) for symbol, parameters in driver]
    lines += [same_type(symbol, "nvrtcResult", parameters) for symbol, parameters in nvrtc_functions()]
    lines += numbers()
    with tempfile.TemporaryDirectory() as folder:
        done = compiles(folder, include, "\n".join(lines) + "\n")
        if done.returncode:
            sys.exit(f"{include}: {done.stderr}")
        wrong = compiles(folder, include, "\n".join(lines).replace("CUdeviceptr p,", "int p,", 1) + "\n")
        assert wrong.returncode, "the check finds nothing"
    stub = next(iter(glob.glob(include + "/../lib*/stubs/libcuda.so")), None)
    if stub:
        there = set(re.findall(r"\bT (cu\w+)", subprocess.run(["nm", "-D", stub], capture_output=True, text=True).stdout))
        missing = [symbol for symbol, _ in driver if symbol not in there]
        assert not missing or not there, f"{stub} has no {missing}"
    print(f"{include}: {len(driver)} functions of the driver, {len(nvrtc_functions())} of NVRTC, {len(NUMBERS)} numbers")


main()
