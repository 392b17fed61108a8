#!/usr/bin/env python3
"""What an application needs: tvc installed into an empty folder, examples/classifier built against that folder alone,
shared and static, without a warning. Its answers are those of `tvc run`.

usage: embed.py TVC BUILD_FOLDER SOURCE_FOLDER
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TVC, BUILD, SOURCE = map(Path, sys.argv[1:4])
MODEL = SOURCE / "examples" / "fashion" / "fashion7.onnx"
COUNT = 20


def run(*words, code=0, **more):
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=300, **more)
    if done.returncode != code:
        sys.exit(f"{' '.join(map(str, words))}: exit {done.returncode} instead of {code}\n{done.stdout}{done.stderr}")
    return done.stdout if code == 0 else done.stderr


def pictures(folder):
    """Stripes and checks: what they show does not matter here."""
    made = []
    for i in range(COUNT):
        made.append(folder / f"{i}.pgm")
        pixels = bytes((x * (i + 1) ^ y * (i + 3)) * 37 % 256 for y in range(28) for x in range(28))
        made[-1].write_bytes(b"P5\n28 28\n255\n" + pixels)
    return made


def build(prefix, folder, static):
    out = folder / f"classifier-{'static' if static else 'shared'}"
    library = next(prefix.rglob("libtvcrt.a" if static else "libtvcrt.so"))
    link = [library, "-lm", "-ldl", "-pthread"] if static else ["-L", library.parent, "-ltvcrt", f"-Wl,-rpath,{library.parent}"]
    run(os.environ.get("CC", "cc"), "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", SOURCE / "examples/classifier/classifier.c",
        "-I", prefix / "include" / "tvc", *link, "-o", out)
    return out


def main():
    with tempfile.TemporaryDirectory() as name:
        folder, prefix = Path(name), Path(name) / "prefix"
        run("cmake", "--install", BUILD, "--prefix", prefix)
        installed = next(prefix.rglob("bin/tvc"))
        run(installed, "compile", MODEL, "-o", folder / "m.tvc")
        shown = pictures(folder)
        expected = json.loads(run(installed, "run", MODEL, *shown, "--top", 1, "--json"))
        for static in (False, True):
            program = build(prefix, folder, static)
            said = run(program, folder / "m.tvc", 0.286, 0.353, *shown).splitlines()
            assert len(said) == COUNT
            for line, e in zip(said, expected):
                assert int(line.split("class ")[1].split(",")[0]) == e["top"][0]["index"], (line, e)
            run(program, folder / "none.tvc", 0, 1, shown[0], code=5)
            (folder / "cut.tvc").write_bytes((folder / "m.tvc").read_bytes()[:5000])
            run(program, folder / "cut.tvc", 0, 1, shown[0], code=3)
            assert "28 x 28" in run(program, folder / "m.tvc", 0, 1, MODEL, code=5)
        print(f"{COUNT} pictures, the same classes as tvc run; {len({e['top'][0]['index'] for e in expected})} different ones")


if __name__ == "__main__":
    main()
