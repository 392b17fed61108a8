#!/usr/bin/env python3
"""The whole of tvc on a GPU that is none: build/tvc with the stand-ins for NVIDIA's driver, compiler library and cuBLASLt
(tests/standin/), answers compared with the CPU's. One and the same binary then runs without any of them.

usage: cuda_program.py TVC DRIVER NVRTC CUBLASLT [pixels]

pixels: of all that, only what goes up: bytes or values, and while what runs.
"""
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from checks import check, exit_checks
from onnx_bytes import FLOAT, entry, exit_, floats, init, model, node, save

TVC, DRIVER, NVRTC, CUBLASLT = sys.argv[1:5]
ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("TVC_TEST_DATA", ROOT.parent / "shared" / "data"))
FASHION = ROOT / "examples" / "fashion" / "fashion7.onnx"
NONE = {"TVC_CUDA": "", "TVC_NVRTC": "", "TVC_CUBLASLT": ""}


def tvc(*words, code=0, env=None):
    """Run, check the exit code, return what was printed (stdout, stderr)."""
    around = {**os.environ, "TVC_CUDA": DRIVER, "TVC_NVRTC": NVRTC, "TVC_CUBLASLT": CUBLASLT, **(env or {})}
    done = subprocess.run([TVC, *map(str, words)], capture_output=True, text=True, timeout=900, env=around)
    check(f"tvc {' '.join(map(str, words))} ends with {code}", done.returncode == code, f"not {done.returncode}: {done.stderr}")
    return done.stdout, done.stderr


def picture(path, kind=0):
    """A 28x28 PGM."""
    path.write_bytes(b"P5 28 28 255\n" + bytes((x * y * (7 + kind) + x * 3) % 256 for y in range(28) for x in range(28)))
    return path


def scores(text):
    return {t["index"]: t["score"] for t in json.loads(text)[0]["top"]}


def same(a, b, tolerance=1e-4):
    return a.keys() == b.keys() and all(abs(a[k] - b[k]) <= tolerance for k in a)


def devices():
    said = json.loads(tvc("devices", "--json")[0])
    check("a GPU is there", said["gpus"][0]["target"] == "cuda:sm_90" and said["gpus_why_none"] is None)
    check("its libraries are named", said["nvrtc"] and said["cublaslt"] == "13.0" and said["cublaslt_why_none"] is None, said)
    said = json.loads(tvc("devices", "--json", env=NONE)[0])
    check("none is there", said["gpus"] == [] and "driver" in said["gpus_why_none"] and said["nvrtc_why_none"] and
          "cuBLASLt" in said["cublaslt_why_none"])
    check("a newer GPU", "compute_100" in tvc("devices", env={"STANDIN_ARCH": "103"})[0])
    check("an older driver", "580" in tvc("devices", env={"STANDIN_VERSION": "12040"})[0])


def run(tmp):
    photo, package = picture(tmp / "p.pgm"), tmp / "m.tvc"
    want = scores(tvc("run", FASHION, photo, "--json", "--device", "cpu")[0])
    for order in ("late", "early", "ahead"):
        got = tvc("run", FASHION, photo, "--json", "--device", "cuda", env={"STANDIN_ORDER": order})[0]
        check(f"run, {order}", same(scores(got), want))
    trace = tmp / "trace"
    check("a GPU is taken where one is", same(scores(tvc("run", FASHION, photo, "--json", env={"STANDIN_TRACE": str(trace)})[0]), want))
    check("kernels were launched", "cuLaunchKernel" in trace.read_text())
    out, err = tvc("run", FASHION, photo, "--json", env=NONE)
    check("without a GPU nothing is said", same(scores(out), want) and "CUDA" not in err and "driver" not in err, err)
    check("auto says why", "driver" in tvc("run", FASHION, photo, "--device", "auto", env=NONE)[1])
    check("cuda must be", "driver" in tvc("run", FASHION, photo, "--device", "cuda", env=NONE, code=7)[1])
    check("an old driver", "580" in tvc("run", FASHION, photo, "--device", "cuda", env={"STANDIN_VERSION": "12040"}, code=7)[1])
    check("the way out is named", "tvc devices" in tvc("run", FASHION, photo, "--device", "cuda", env=NONE, code=7)[1])
    notes = tvc("compare", FASHION, "--device", "auto", "--device", "auto", env=NONE)[1]
    check("one line, also for two sessions", len(notes.splitlines()) == 1, notes)
    said = json.loads(tvc("compare", FASHION, "--device", "cuda", "--json")[0])
    check("one device is compared with the evaluator", 0 < max(v["max_absolute"] for v in said["values"]) < 1e-3, said)
    said = json.loads(tvc("compare", FASHION, "--device", "cuda", "--device", "cpu", "--precision", "bf16", "--json", "--atol", "9")[0])
    check("how far bf16 is", 1e-3 < max(v["max_absolute"] for v in said["values"]) < 1, said)
    check("targets one by one", "several times" in tvc("compile", FASHION, "--target", "cuda:sm_90,cpu", code=2)[1])
    check("no second GPU", "1" in tvc("run", FASHION, photo, "--device", "cuda:1", code=7)[1])
    tvc("run", FASHION, photo, "--device", "cuda:x", code=2)
    tvc("run", FASHION, photo, "--device", "cpu", "--target", "cuda:sm_90", code=2)
    tvc("compile", FASHION, "--target", "cuda:volta", code=2)
    tvc("compile", FASHION, "--target", "cuda:sm_11", code=7)

    said = json.loads(tvc("compile", FASHION, "--target", "cuda:sm_90", "--target", "cpu", "-o", package, "--json", env={"TVC_CUDA": ""})[0])
    kernel = said["plan"]["forward"][0]
    check("kernels are listed", said["target"] == "cuda:sm_90" and kernel["registers"] > 0 and kernel["spilled_bytes"] == 0 and
          kernel["flops"] > 0 and kernel["bytes"] > 0 and kernel["schedule"] and said["more_targets"][0]["target"].startswith("cpu"))
    first = package.read_bytes()
    tvc("compile", FASHION, "--target", "cuda:sm_90", "--target", "cpu", "-o", package)
    check("same input, same bytes", package.read_bytes() == first)
    for env in ({"TVC_NVRTC": ""}, {"TVC_CUDA": "", "TVC_CC": ""}, {"STANDIN_ARCH": "80"}):
        check(f"the package runs with {env}", same(scores(tvc("run", package, photo, "--json", env=env)[0]), want))
    check("not on another GPU", "sm_80" in tvc("run", package, photo, "--device", "cuda", env={"STANDIN_ARCH": "80"}, code=7)[1])
    check("damaged", "damaged" in tvc("run", damaged(package, tmp), photo, code=3)[1])
    said = json.loads(tvc("bench", package, "-n", 3, "--warmup", 1, "--profile", "--json", "--device", "cuda")[0])
    check("every kernel took time", said["profile"] and all(k["ms"] > 0 for k in said["profile"]))
    trace.unlink()
    tvc("bench", package, "-n", 3, "--warmup", 2, "--device", "cuda", env={"STANDIN_TRACE": str(trace)})
    check("one launch an inference", trace.read_text().split().count("cuGraphLaunch") == 4, trace.read_text().split().count("cuGraphLaunch"))


def small_network(path):
    """Pictures in sevenths, a 1x1 convolution, nine classes: two products of matrices."""
    def weights(name, *dims):
        n = 1
        for d in dims:
            n *= d
        return init(name, FLOAT, dims, floats(*((i * 37 % 101 - 50) / 200 for i in range(n))))
    names = ("w", 16, 1, 7, 7), ("v", 24, 16, 1, 1), ("b", 24), ("u", 9, 24), ("c", 9)
    nodes = [node("Conv", ["x", "w"], ["h"], kernel_shape=[7, 7], strides=[7, 7]), node("Relu", ["h"], ["i"]),
             node("Conv", ["i", "v", "b"], ["j"], kernel_shape=[1, 1]), node("Relu", ["j"], ["k"]),
             node("GlobalAveragePool", ["k"], ["l"]), node("Flatten", ["l"], ["m"]), node("Gemm", ["m", "u", "c"], ["y"], transB=1)]
    return save(path, model(*nodes, *(weights(*n) for n in names), entry("x", FLOAT, ("N", 1, 28, 28)), exit_("y", FLOAT, ("N", 9))))


def products(tmp):
    """Products of matrices through cuBLASLt, where they are wished for: the same answers, whatever is missing."""
    network, package, trace, out = small_network(tmp / "nine.onnx"), tmp / "nine.tvc", tmp / "lt-trace", tmp / "y.npy"
    said = json.loads(tvc("compile", network, "--batch", "1..16", "--target", "cuda:sm_90", "-o", package, "--json")[0])
    listed = [k["product"] for k in said["plan"]["forward"] if "product" in k]
    check("products are listed", [(p["m"], p["n"], p["k"], p["bias"], p["relu"]) for p in listed] ==
          [(256, 24, 16, "f32", True), (16, 9, 24, "f32", False)], listed)
    words = ["-n", 3, "--warmup", 2, "--device", "cuda", "--batch", 16, "--json", "--dump-output", out]
    values = {}
    for name, wish, env in (("own", "never", {}), ("lt", "always", {}), ("package", "always", {}), ("auto", "auto", {}),
                            ("missing", "always", {"TVC_CUBLASLT": ""}), ("newer", "always", {"STANDIN_CUBLASLT": "140000"})):
        file = package if name == "package" else network
        shown, err = tvc("bench", file, *words, "--cublas", wish, env={"STANDIN_TRACE": str(trace), **env})
        used, calls = json.loads(shown)["cublas_kernels"], trace.read_text().split()
        check(f"{name}: in the library", used == 2 * (name in ("lt", "package")) and ("cublasLtMatmul" in calls) == bool(used), used)
        check(f"{name}: one launch an inference", calls.count("cuGraphLaunch") == 4, calls.count("cuGraphLaunch"))
        check(f"{name}: said", ("cuBLASLt" in err) == (name in ("missing", "newer")), err)
        values[name] = out.read_bytes()
        trace.unlink()
    check("without it the bytes are our kernels'", values["own"] == values["missing"] == values["newer"] == values["auto"])
    check("from a package the same", values["lt"] == values["package"])
    check("close to ours", close(values["lt"], values["own"]))
    tvc("bench", network, *words, "--cublas", "sometimes", code=2)


def close(a, b):
    """Two .npy files of f32."""
    a, b = (struct.unpack(f"<{(len(x) - 128) // 4}f", x[128:]) for x in (a, b))
    return len(a) == len(b) and all(abs(x - y) <= 1e-5 * max(1, abs(y)) for x, y in zip(a, b))


def learn_products(tmp):
    """A head of nine classes: three products a step, forward and both gradients; the same bytes every time."""
    for kind in range(9):
        (tmp / "nine" / "train" / f"k{kind}").mkdir(parents=True), (tmp / "nine" / "val" / f"k{kind}").mkdir(parents=True)
        for n in range(2):
            picture(tmp / "nine" / "train" / f"k{kind}" / f"{n}.pgm", kind * 2 + n)
        picture(tmp / "nine" / "val" / f"k{kind}" / "0.pgm", kind)
    words, trace = ["--recipe", "full", "--keep-head", "--preset", "imagenet", "--batch", 9, "--epochs", 2], tmp / "learn-trace"
    words += ["--augment", "none", "-q", "--json"]
    loss, made = [], []
    for name, more in (("cpu", ["--device", "cpu"]), ("a", ["--device", "cuda", "--cublas", "always"]),
                       ("b", ["--device", "cuda", "--cublas", "always"])):
        said = tvc("train", tmp / "nine.onnx", tmp / "nine", *words, *more, "-o", tmp / f"{name}.onnx", env={"STANDIN_TRACE": str(trace)})[0]
        loss.append(json.loads(said)["best_loss"])
        made.append((tmp / f"{name}.onnx").read_bytes())
    check("through the library", "cublasLtMatmul" in trace.read_text())
    check("it learns as on the CPU", max(loss) - min(loss) <= 1e-4 * max(loss), loss)
    check("the same bytes every time", made[1] == made[2])


def damaged(package, tmp):
    at, path = bytearray(package.read_bytes()), tmp / "damaged.tvc"
    at[len(at) // 2] ^= 1
    path.write_bytes(at)
    return path


def learn(tmp):
    cifar, model = DATA / "datasets" / "cifar10_jpg_subset", DATA / "models" / "resnet20_cifar10" / "model.onnx"
    if not cifar.is_dir():
        print("skipped the part on training: no", cifar)
        return
    for split, source in (("train", "train"), ("val", "test")):
        for kind in sorted(p for p in (cifar / source).iterdir() if p.is_dir())[:2]:
            (tmp / "photos" / split / kind.name).mkdir(parents=True)
            for one in sorted(kind.iterdir())[:2]:
                shutil.copy(one, tmp / "photos" / split / kind.name)
    loss = []
    for device in ("cpu", "cuda"):
        words = ["--preset", "imagenet", "--batch", 2, "--epochs", 2, "--augment", "none", "--device", device, "-q", "--json"]
        out = tmp / f"{device}.onnx"
        loss.append(json.loads(tvc("train", model, tmp / "photos", *words, "-o", out)[0])["best_loss"])
        loss.append(json.loads(tvc("eval", out, tmp / "photos", "--device", device, "--json", "-q")[0])["loss"])
    check("training and eval", max(loss) - min(loss) <= 1e-4 * max(loss), loss)


def train(tmp, *more, device="cuda"):
    """What was said, and the weights' bytes."""
    words = ["--batch", 2, "--augment", "none", "--device", device, "-q", "--json", *more, "-o", tmp / "t.onnx"]
    return json.loads(tvc("train", FASHION, tmp / "grey", *words)[0]), (tmp / "t.onnx").read_bytes()


def grey(tmp):
    for k, name in enumerate(("train/a", "train/b", "val/a", "val/b")):
        (tmp / "grey" / name).mkdir(parents=True)
        for i in range(2):
            pixels = bytes((x * (y if k % 2 else 3) * 7 + i * 31) % 256 for y in range(28) for x in range(28))
            (tmp / "grey" / name / f"{i}.pgm").write_bytes(b"P5 28 28 255\n" + pixels)


def stopped(tmp):
    """Ctrl-C after NVRTC was at work, which puts its own handlers in place and ours back, without their flags."""
    trace = tmp / "stopped-trace"
    around = {**os.environ, "TVC_CUDA": DRIVER, "TVC_NVRTC": NVRTC, "TVC_CUBLASLT": "", "STANDIN_TRACE": str(trace)}
    running = subprocess.Popen([TVC, "bench", FASHION, "--device", "cuda", "-n", "1000000"], env=around, stdout=subprocess.PIPE)
    while running.poll() is None and not (trace.exists() and "cuGraphLaunch" in trace.read_text()):
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    try:
        check("Ctrl-C ends it", running.wait(30) == -signal.SIGINT, running.returncode)
    except subprocess.TimeoutExpired:
        check("Ctrl-C ends it", False)
        running.kill()


def precisions(tmp):
    grey(tmp)
    scaled(tmp)
    frozen(tmp)
    lost(tmp)


def scaled(tmp):
    """In fp16 the loss is scaled; where that is too much, steps are skipped until it is not."""
    full = ["--freeze", "none", "--bn", "train", "--optimizer", "sgd", "--lr", "0.01", "--epochs", 4]
    want = train(tmp, *full, device="cpu")[0]
    got, weights = train(tmp, *full, "--precision", "fp16")
    check("fp16 is scaled by 65536 or less", 256 <= got["loss_scale"] <= 65536, got)
    check("fp16 learns as float32", abs(got["best_loss"] - want["best_loss"]) <= 0.05 * want["best_loss"], (got, want))
    again, same_weights = train(tmp, *full, "--precision", "fp16")
    check("bit for bit", weights == same_weights)
    got, _ = train(tmp, *full, "--precision", "fp16", "--loss-scale", f"auto:{2 ** 20}")
    check("too large a scale comes down", 0 < got["skipped_steps"] < 8 and got["loss_scale"] == 2 ** (20 - got["skipped_steps"]), got)


def lost(tmp):
    """A GPU that is lost, above all while weights come down: nothing it did not say is kept, the run goes on from before."""
    network, trace = small_network(tmp / "lost.onnx"), tmp / "lost-trace"
    words = ["--batch", 2, "--augment", "none", "--device", "cuda", "-q", "--json", "--freeze", "none", "--save-every", 0, "--epochs", 2]
    tvc("train", network, tmp / "grey", *words, "-o", tmp / "whole.onnx", env={"STANDIN_TRACE": str(trace)})
    whole, calls = (tmp / "whole.onnx").read_bytes(), trace.read_text().split()
    for symbol, share in (("cuMemcpyDtoHAsync_v2", (0.3, 0.55, 0.8, 1)), ("cuGraphLaunch", (0.6,)), ("cuStreamSynchronize", (0.7,))):
        for at in sorted({max(1, int(calls.count(symbol) * s)) for s in share}):
            out = tmp / f"lost-{symbol}-{at}.onnx"
            said = tvc("train", network, tmp / "grey", *words, "-o", out, code=7, env={"STANDIN_FAIL": f"{symbol}:{at}:700"})[1]
            check(f"{symbol} {at} says what failed, and leaves no model", "illegal memory access" in said and not out.exists(), said)
            check(f"{symbol} {at} is one line", len(said.splitlines()) == 1, said)
            tvc("train", "--resume", out.with_suffix(".run"), "--device", "cuda", "-q", "-o", out)
            check(f"{symbol} {at}: as if nothing had happened", out.read_bytes() == whole)


def frozen(tmp):
    """The frozen part in bf16 beneath a head in float32: kept features are told apart by it."""
    off = ["--cache-features", "off"]
    low = ["--frozen-precision", "bf16"]
    plain, narrow = train(tmp, *off)[1], train(tmp, *low, *off)[1]
    check("the precision of the frozen part matters", plain != narrow)
    check("its features are kept", train(tmp)[1] == plain and train(tmp)[1] == plain)
    check("and are others", train(tmp, *low)[1] == narrow and train(tmp, *low)[1] == narrow)
    check("a CPU says that it has one precision", "float32" in tvc("train", FASHION, tmp / "grey", "--epochs", 1, "--device", "cpu",
                                                                 "--precision", "bf16", "-o", tmp / "c.onnx")[1])


def overlaps(trace):
    """Did anything go up after a function was started and before it was waited for?"""
    started = False
    for call in trace.read_text().split() if trace.exists() else []:
        if started and call.startswith("cuMemcpyHtoD"):
            return True
        started = call == "cuGraphLaunch" or (started and call != "cuStreamSynchronize")
    return False


def pixels(tmp):
    """Bytes or values, the answers are the same; while one batch is computed, the next goes up."""
    grey(tmp)
    photos, trace = sorted((tmp / "grey").rglob("*.pgm")), tmp / "trace"
    for device in ("cpu", "cuda"):
        words = ["--device", device, "--batch", 2, "--json"]
        for command in ("run", "predict"):
            trace.unlink(missing_ok=True)
            said = [tvc(command, FASHION, *photos, *words, "--pixels", form, env={"STANDIN_TRACE": str(trace)})[0]
                    for form in ("bytes", "floats")]
            check(f"{command} on {device}", said[0] == said[1] and len(json.loads(said[0])) == len(photos))
            check(f"{command} overlaps on a GPU", overlaps(trace) == (device == "cuda"))
    learned_pixels(tmp, trace)


def learned_pixels(tmp, trace):
    moved = ["--freeze", "none", "--epochs", 2, "--augment", "pad(3),crop,hflip,vflip(0.3)"]
    for device, usual in (("cpu", "floats"), ("cuda", "bytes")):
        said, weights = zip(*(train(tmp, *moved, "--pixels", form, device=device) for form in ("bytes", "floats")))
        check(f"the same is learned on {device}", weights[0] == weights[1] and said[0]["pixels"] == "bytes", said)
        trace.unlink(missing_ok=True)
        words = ["--device", device, "--batch", 1, "--json", "-q"]
        traced = {"STANDIN_TRACE": str(trace)}
        said = [json.loads(tvc("eval", tmp / "t.onnx", tmp / "grey", *words, *more, env=traced)[0])
                for more in ([], ["--pixels", "bytes"], ["--pixels", "floats"])]
        same_loss = said[0]["loss"] == said[1]["loss"] == said[2]["loss"]
        check(f"eval on {device}", said[0]["pixels"] == usual and same_loss, said)
        check("eval overlaps on a GPU", overlaps(trace) == (device == "cuda"))
    trace.unlink(missing_ok=True)
    os.environ["STANDIN_TRACE"] = str(trace)
    train(tmp, *moved)
    del os.environ["STANDIN_TRACE"]
    check("training overlaps", overlaps(trace))


def cache(tmp):
    """Code for GPU and CPU comes from the cache as it was made, or is made again."""
    network, folder = small_network(tmp / "cached.onnx"), tmp / "own-cache"
    around = {"TVC_CACHE": str(folder)}

    def compiled(*words, **env):
        said, notes = tvc("compile", network, "--target", "cuda:sm_90", "--target", "cpu", "-o", tmp / "c.tvc", "--json", *words, env={**around, **env})
        said = json.loads(said)
        return [said["cached"], said["more_targets"][0]["cached"]], (tmp / "c.tvc").read_bytes(), notes
    cached, first, notes = compiled()
    check("made", cached == [False, False] and not notes, (cached, notes))
    check("kept", compiled() == ([True, True], first, ""))
    check("on one thread", compiled("--threads", 1, TVC_CACHE=str(tmp / "third-cache"))[:2] == ([False, False], first))
    files = sorted(folder.iterdir())
    whole = [f.read_bytes() for f in files]
    for what, damaged in (("a bit", lambda b: b[:len(b) // 2] + bytes([b[len(b) // 2] ^ 4]) + b[len(b) // 2 + 1:]), ("half", lambda b: b[:len(b) // 2]),
                          ("nothing", lambda b: b""), ("something else", lambda b: b"\0" + bytes(range(256)) * 9)):
        for f, b in zip(files, whole):
            f.write_bytes(damaged(b))
        check(f"{what}: made again", compiled() == ([False, False], first, ""))
        check(f"{what}: mended", [f.read_bytes() for f in files] == whole and compiled()[0] == [True, True])
    for f in files:
        f.unlink()
        f.mkdir()
    cached, again, notes = compiled()
    check("what cannot be kept is a note for each", cached == [False, False] and again == first and notes.count("not kept") == 2, notes)


def verify():
    suite = DATA / "onnx_backend" / "node"
    names = [n for n in ("test_relu", "test_softmax_axis_1", "test_matmul_2d", "test_basic_conv_with_padding", "test_cumsum_1d",
                         "test_top_k", "test_reduce_mean_default_axes_keepdims_example", "test_gather_0", "test_maxpool_2d_default")
             if (suite / n).is_dir()]
    if names:
        said = tvc("verify", *[suite / n for n in names], "--device", "cuda")[0]
        check("cases of the standard", f"{len(names)} passed" in said, said)
    else:
        print("skipped the cases of the standard: no", suite)


def everything(tmp):
    devices()
    run(tmp)
    products(tmp)
    learn_products(tmp)
    cache(tmp)
    stopped(tmp)
    verify()
    learn(tmp)
    precisions(tmp)


def main():
    if os.uname().machine != "x86_64":
        print("skipped: the emulator switches threads in x86-64's own way")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as tmp:
        os.environ["TVC_CACHE"] = f"{tmp}/cache"
        if "pixels" in sys.argv[5:]:
            pixels(Path(tmp))
        else:
            everything(Path(tmp))
    exit_checks()


main()
