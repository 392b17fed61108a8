"""The ONNX backend cases by `tvc verify`: every failure is a known one, and none of these has gone.

usage: suite.py build/tvc eval|cpu given|debian
  given    node, pytorch-converted, pytorch-operator and simple of the test data (TVC_TEST_DATA, ../shared/data)
  debian   the complete node suite of Debian's libonnx-testdata
Skipped (exit 77) where they are absent.
"""
import fnmatch
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.environ.get("TVC_TEST_DATA", os.path.join(HERE, "../../shared/data"))
DEBIAN = "/usr/share/libonnx-testdata/data/node"
FOLDERS = {
    "given": [f"{DATA}/onnx_backend/{f}" for f in ("node", "pytorch-converted", "pytorch-operator", "simple")],
    "debian": [DEBIAN],
}


def known_failures():
    """[(pattern, reason)]"""
    with open(os.path.join(HERE, "suite_failures.txt"), encoding="utf-8") as f:
        lines = [line.split(None, 1) for line in f if line.strip() and not line.startswith("#")]
    return [(pattern, reason.strip()) for pattern, reason in lines]


def verify(tvc, device, folders):
    """The cases as tvc reports them."""
    run = subprocess.run([tvc, "verify", "--json", "--device", device, *folders], stdout=subprocess.PIPE, check=False)
    if run.returncode not in (0, 1):
        sys.exit(f"tvc verify ended with {run.returncode}")
    return json.loads(run.stdout)["cases"]


def main(tvc, device, which):
    absent = [f for f in FOLDERS[which] if not os.path.isdir(f)]
    if absent:
        print(f"skipped: {absent[0]} is not here")
        return 77
    cases = verify(tvc, device, FOLDERS[which])
    known = known_failures()
    wrong = 0
    for case in cases:
        if case["result"] == "failed" and not any(fnmatch.fnmatchcase(case["name"], p) for p, _ in known):
            print(f"{case['name']}: {case['why']}")
            wrong += 1
    for pattern, _ in known:
        results = [c["result"] for c in cases if fnmatch.fnmatchcase(c["name"], pattern)]
        if results and "failed" not in results:
            print(f"{pattern}: listed as failing, but passes")
            wrong += 1
    print(f"{len(cases)} cases, {sum(c['result'] == 'passed' for c in cases)} passed, {wrong} surprises")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
