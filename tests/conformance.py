"""tvc verify over ONNX's backend cases and real models: all pass but those that conformance.md names.

usage: conformance.py TVC small|light|eval|light_eval
  small: single operators and small networks, compiled and on the evaluator: Debian's libonnx-testdata, the cases and
  the real models of the test data; light: full-size networks, compiled; eval: real models, on the evaluator.
A case that conformance.md gives up must fail, and every other one must pass: the table is neither too bad nor too
good. Skipped (exit 77) where neither the package nor the test data is there.
"""
import concurrent.futures
import json
import os
import re
import subprocess
import sys

TVC, WHAT = sys.argv[1], sys.argv[2]
HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.environ.get("TVC_TEST_DATA", os.path.join(HERE, "..", "..", "shared", "data"))
DEBIAN = "/usr/share/libonnx-testdata/data"
PARTS = ["node", "pytorch-converted", "pytorch-operator", "simple"]
CASES_AT_ONCE = 40
LEAST = 600                               # of Debian's node cases
os.environ.setdefault("TVC_CACHE", os.path.join(os.path.dirname(os.path.abspath(TVC)), "cache"))
bad = 0


def wrong(text):
    global bad
    bad += 1
    print(f"WRONG {text}", flush=True)


def given_up():
    """The names in conformance.md, and how many of the node suite it says pass."""
    with open(os.path.join(HERE, "conformance.md")) as f:
        text = f.read()
    passed, total = map(int, re.search(r"\*\*(\d+) of (\d+)\*\*", text).groups())
    return set(re.findall(r"^\* `(\w+)`", text, re.M)), passed, total


def verify(paths, *options):
    r = subprocess.run([TVC, "verify", "--json", "-q", *options, *paths], capture_output=True, text=True)
    if r.returncode not in (0, 1):
        wrong(f"tvc verify: exit {r.returncode}: {r.stderr.strip()[-300:]}")
        return []
    return json.loads(r.stdout)["cases"]


def verify_all(paths, *options):
    """Compiling many small kernels waits for the C compiler: a process per processor."""
    some = [paths[i:i + CASES_AT_ONCE] for i in range(0, len(paths), CASES_AT_ONCE)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [c for cases in pool.map(lambda p: verify(p, *options), some) for c in cases]


def check_cases(title, folder, exceptions, *options):
    """Every case in the folder passes, but the exceptions; returns how many did."""
    paths = sorted(os.path.join(folder, name) for name in os.listdir(folder))
    cases = verify_all(paths, *options)
    for c in cases:
        passed = c["result"] == "passed"
        if passed and c["name"] in exceptions:
            wrong(f"{c['name']} passes: conformance.md is too bad")
        if not passed and c["name"] not in exceptions:
            wrong(f"{c['name']} {c['result']}: {c['why']}")
    n = sum(c["result"] == "passed" for c in cases)
    print(f"{title}: {n} of {len(cases)} passed", flush=True)
    return n, len(cases)


def check_paths(title, count, paths, *options):
    cases = verify_all(paths, "--rtol", "1e-3", *options)
    for c in cases:
        if c["result"] != "passed":
            wrong(f"{c['name']} {c['result']}: {c['why']}")
    if len(cases) != count:
        wrong(f"{title}: {len(cases)} cases instead of {count}")
    print(f"{title}: {sum(c['result'] == 'passed' for c in cases)} of {len(cases)} passed", flush=True)


def check_small():
    exceptions, passed, total = given_up()
    for device in ("cpu", "eval"):
        for part in PARTS if os.path.isdir(DEBIAN) else []:
            n, of = check_cases(f"libonnx-testdata {part} on {device}", f"{DEBIAN}/{part}", exceptions, "--device", device)
            if part == "node" and (n, of) != (passed, total):
                wrong(f"{n} of {of} passed, not {passed} of {total} as conformance.md says")
            if part == "node" and n < LEAST:
                wrong(f"fewer than {LEAST} passed")
        for part in PARTS if os.path.isdir(DATA) else []:
            check_cases(f"test data {part} on {device}", f"{DATA}/onnx_backend/{part}", exceptions, "--device", device)


def check_models(device):
    raw = f"{DATA}/models/resnet20_cifar10/model_torch_raw_export.onnx"
    check_paths(f"real models on {device}", 8, [f"{DATA}/models", raw], "--atol", "1e-4", "--device", device)


def check_light(device):
    check_paths(f"light models on {device}", 9, [f"{DATA}/onnx_backend/light"], "--device", device)


CHECKS = {"small": check_small, "light": lambda: (check_models("cpu"), check_light("cpu")),
          "eval": lambda: check_models("eval"), "light_eval": lambda: check_light("eval")}
if not os.path.isdir(DATA) and not (WHAT == "small" and os.path.isdir(DEBIAN)):
    print(f"skipped: no test data at {DATA}: set TVC_TEST_DATA")
    sys.exit(77)
CHECKS[WHAT]()
sys.exit(bad > 0)
