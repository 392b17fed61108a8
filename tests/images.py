"""data/ against Pillow and torchvision, byte for byte.

usage: images.py build/tests/images_tool
Skipped (exit 77) without Pillow and numpy; torchvision is compared with where it is installed.
Real photos are used too where $TVC_TEST_DATA or ../shared/data has them.
"""
import glob
import io
import os
import random
import subprocess
import sys
import tempfile
import warnings

HERE = os.path.dirname(os.path.abspath(__file__))
from checks import needed

with needed():
    import numpy as np
    from PIL import Image, ImageOps

warnings.simplefilter("ignore")
DATA = os.environ.get("TVC_TEST_DATA", os.path.join(HERE, "..", "..", "shared", "data"))
FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
rng = np.random.default_rng(7)
random.seed(7)


class Tool:
    def __init__(self, path):
        self.p = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, command, dtype=np.uint8):
        self.p.stdin.write(command.encode() + b"\n")
        self.p.stdin.flush()
        head = self.p.stdout.readline().decode(errors="replace").strip()
        if not head or head.startswith("error"):
            return head or "error: the tool died at: " + command
        w, h, c, n = map(int, head.split())
        return np.frombuffer(self.p.stdout.read(n), dtype).reshape(h, w, c)


class Checks:
    def __init__(self):
        self.done, self.bad = 0, []

    def same(self, what, got, want):
        self.done += 1
        if isinstance(got, str):
            self.bad.append(f"{what}: {got}")
        elif got.shape != want.shape:
            self.bad.append(f"{what}: shape {got.shape}, expected {want.shape}")
        elif not np.array_equal(got, want):
            d = np.abs(got.astype(np.float64) - want.astype(np.float64))
            self.bad.append(f"{what}: {np.count_nonzero(d)} of {d.size} values differ, by up to {d.max()}")

    def report(self):
        """Prints what came out; the exit code."""
        for line in self.bad[:40]:
            print("FAILED", line)
        print(f"{self.done - len(self.bad)} checks passed, {len(self.bad)} failed")
        return 1 if self.bad else 0

    def refused(self, what, got):
        self.done += 1
        if not isinstance(got, str) or "died" in got:
            self.bad.append(f"{what}: not refused ({got if isinstance(got, str) else got.shape})")


def array(im):
    a = np.asarray(im)
    return a if a.ndim == 3 else a[:, :, None]


def noise(w, h, c=3):
    """Smooth areas and noise, so that filters and compressors both have something to do."""
    y, x = np.mgrid[0:h, 0:w]
    base = np.stack([(x * (3 + k) + y * (5 - k)) % 256 for k in range(c)], -1)
    a = np.where(rng.random((h, w, 1)) < 0.3, rng.integers(0, 256, (h, w, c)), base).astype(np.uint8)
    return a if c > 1 else a[:, :, 0]


def png_bytes(depth, colour, width, height, rows, interlace=0, extra=()):
    """A PNG written by hand: Pillow cannot write all that PNG can hold."""
    import struct
    import zlib

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    raw = b"".join(b"\0" + r for r in rows)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunk(*e) for e in extra)
            + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def bmp_bytes(bits, width, height, pixels, palette=b"", compression=0, masks=b"", header=40, top_down=False, colours=0):
    import struct
    offset = 14 + header + len(masks) + len(palette)
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IIiHHIIIIII", header, width, -height if top_down else height, 1, bits, compression,
                           len(pixels), 2835, 2835, colours, 0)
        info += masks if header > 40 else b""
        info += b"\0" * (header - len(info))
        offset -= len(masks) if header > 40 else 0
        masks = b"" if header > 40 else masks
    return b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + info + masks + palette + pixels


class Files:
    """Every file is written under one temporary folder; Pillow and tvc read the same bytes."""

    def __init__(self, folder):
        self.folder, self.n, self.all = folder, 0, []

    def add(self, what, data, **save):
        if isinstance(data, (Image.Image, np.ndarray)):
            im = data if isinstance(data, Image.Image) else Image.fromarray(data)
            b = io.BytesIO()
            im.save(b, **save)
            data = b.getvalue()
        self.n += 1
        path = os.path.join(self.folder, f"{self.n:04d}")
        with open(path, "wb") as f:
            f.write(data)
        self.all.append((what, path))
        return path


def make_jpegs(files):
    for w, h in ((1, 1), (7, 5), (16, 16), (33, 17), (64, 48)):
        a = noise(w, h)
        for sampling in (0, 1, 2):
            for progressive in (False, True):
                files.add(f"JPEG {w}x{h} sampling {sampling} progressive {progressive}", a, format="JPEG",
                          quality=75, subsampling=sampling, progressive=progressive)
        files.add(f"JPEG grey {w}x{h}", noise(w, h, 1), format="JPEG")
        files.add(f"JPEG CMYK {w}x{h}", Image.fromarray(noise(w, h, 4), "CMYK"), format="JPEG")
    jpeg = open(files.add("JPEG", noise(40, 30), format="JPEG", restart_marker_blocks=2), "rb").read()
    files.add("JPEG with bytes behind its end", jpeg + b"\xff\xd8 more \xff\xd9")
    files.add("JPEG with a fill byte", jpeg[:2] + b"\xff" + jpeg[2:])


def make_pngs(files):
    for mode in ("1", "L", "LA", "RGB", "RGBA", "P"):
        files.add(f"PNG {mode}", Image.fromarray(noise(37, 23, 4), "RGBA").convert(mode), format="PNG")
    p = Image.fromarray(noise(20, 11)).quantize(9)
    files.add("PNG palette of 9", p, format="PNG")
    files.add("PNG palette, transparent colour", p, format="PNG", transparency=3)
    files.add("PNG palette, alpha table", p, format="PNG", transparency=bytes([0, 90, 180, 255]))
    files.add("PNG grey, transparent", noise(9, 9, 1), format="PNG", transparency=7)
    files.add("PNG RGB, transparent", noise(9, 9), format="PNG", transparency=(1, 2, 3))
    for depth, colour, channels in ((1, 0, 1), (2, 0, 1), (4, 0, 1), (8, 0, 1), (16, 0, 1), (8, 2, 3), (16, 2, 3),
                                    (1, 3, 1), (2, 3, 1), (4, 3, 1), (8, 3, 1), (8, 4, 2), (16, 4, 2), (8, 6, 4),
                                    (16, 6, 4)):
        w, h = 21, 13
        row = (w * depth * channels + 7) // 8
        rows = [rng.integers(0, 256, row, dtype=np.uint8).tobytes() for _ in range(h)]
        if depth == 16 and colour == 0:
            rows = [np.array([random.choice((0, 9, 255, 256, 300, 65535)) for _ in range(w)], ">u2").tobytes()
                    for _ in range(h)]
        entries = {1: 2, 2: 4, 4: 16, 8: 256}.get(depth)
        extra = [(b"PLTE", rng.integers(0, 256, 3 * entries, dtype=np.uint8).tobytes())] if colour == 3 else []
        files.add(f"PNG depth {depth} colour {colour}", png_bytes(depth, colour, w, h, rows, 0, extra))
        extra = [(b"gAMA", b"\0\0\xb1\x8f"), (b"sBIT", b"\x04" * (3 if colour in (2, 3) else channels))] + extra
        files.add(f"PNG depth {depth} colour {colour} with gamma", png_bytes(depth, colour, w, h, rows, 0, extra))
        # Adam7: seven small images
        rows = []
        for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
                               (0, 1, 1, 2)):
            pw, ph = len(range(x0, w, dx)), len(range(y0, h, dy))
            rows += [rng.integers(0, 256, (pw * depth * channels + 7) // 8, dtype=np.uint8).tobytes()
                     for _ in range(ph)] if pw else []
        files.add(f"PNG depth {depth} colour {colour} interlaced", png_bytes(depth, colour, w, h, rows, 1, extra))
    rows = [bytes(range(16))] * 4
    files.add("PNG palette too short", png_bytes(8, 3, 16, 4, rows, 0, [(b"PLTE", bytes(range(30)))]))


def make_bmps(files):
    import struct
    for mode in ("1", "L", "RGB", "RGBA", "P"):
        files.add(f"BMP {mode}", Image.fromarray(noise(37, 23, 4), "RGBA").convert(mode), format="BMP")
    palette = {n: b"".join(bytes(rng.integers(0, 256, 3)) + b"\0" for _ in range(n)) for n in (2, 16, 256)}
    for bits in (1, 4, 8, 16, 24, 32):
        for w in (1, 9, 16):
            pixels = rng.integers(0, 256, (w * bits + 31) // 32 * 4 * 5, dtype=np.uint8).tobytes()
            pal = palette[1 << bits] if bits <= 8 else b""
            for top_down in (False, True):
                files.add(f"BMP {bits} bits width {w} top down {top_down}",
                          bmp_bytes(bits, w, 5, pixels, pal, top_down=top_down))
            if bits in (1, 4, 8, 24):
                files.add(f"BMP OS/2 {bits} bits width {w}",
                          bmp_bytes(bits, w, 5, pixels, b"".join(pal[i:i + 3] for i in range(0, len(pal), 4)), header=12))
            for header in (40, 108, 124) if bits in (16, 32) else ():
                for masks in (((0xf800, 0x7e0, 0x1f, 0), (0x7c00, 0x3e0, 0x1f, 0)) if bits == 16 else
                              ((0xff0000, 0xff00, 0xff, 0), (0xff000000, 0xff0000, 0xff00, 0),
                               (0xff, 0xff00, 0xff0000, 0xff000000), (0xff0000, 0xff00, 0xff, 0xff000000),
                               (0, 0, 0, 0))):
                    if header == 40 and masks[3]:
                        continue
                    m = struct.pack("<IIII", *masks)[:12 if header == 40 else 16]
                    files.add(f"BMP {bits} bits header {header} masks {masks} width {w}",
                              bmp_bytes(bits, w, 5, pixels, compression=3, masks=m, header=header))
    pixels = bytes(range(64)) * 4
    ramp = b"".join(bytes([i, i, i, 0]) for i in range(40))
    files.add("BMP grey ramp of 40", bmp_bytes(8, 16, 16, pixels, ramp, colours=40))
    files.add("BMP palette of 40", bmp_bytes(8, 8, 4, bytes(range(8, 40)), palette[256][:160], colours=40))
    files.add("BMP palette too short", bmp_bytes(8, 16, 16, pixels, palette[256][:160], colours=40))


def make_pnms(files):
    for maxval in (1, 5, 100, 254, 255, 256, 1000, 65535):
        for kind, channels in ((2, 1), (3, 3), (5, 1), (6, 3)):
            a = rng.integers(0, maxval + 1, (7, 11 * channels))
            a.flat[:2] = 0, maxval
            head = f"P{kind}\n# a comment\n11 7 # another\n{maxval}\n".encode()
            if kind <= 3:
                body = b"\n".join(b" ".join(b"%d" % v for v in row) for row in a)
            else:
                body = a.astype(">u2" if maxval > 255 else "u1").tobytes()
            files.add(f"P{kind} maximum {maxval}", head + body)
    bits = rng.integers(0, 2, (7, 11))
    files.add("P1", b"P1 11 7\n" + b"\n".join(b"".join(b"%d" % v for v in row) for row in bits))
    files.add("P4", b"P4 11 7\n" + np.packbits(bits, axis=1).tobytes())


def make_webps(files):
    for w, h in ((1, 1), (17, 9), (64, 50)):
        for lossless in (False, True):
            files.add(f"WebP {w}x{h} lossless {lossless}", noise(w, h), format="WEBP", lossless=lossless)
            files.add(f"WebP alpha {w}x{h} lossless {lossless}", Image.fromarray(noise(w, h, 4), "RGBA"),
                      format="WEBP", lossless=lossless, exact=True)
    frames = [Image.fromarray(noise(30, 20, 4), "RGBA") for _ in range(3)]
    files.add("WebP animation", frames[0], format="WEBP", save_all=True, append_images=frames[1:])
    dot = Image.new("RGBA", (32, 32))
    dot.paste((9, 8, 7, 255), (10, 12, 18, 20))
    files.add("WebP animation, small first frame", dot, format="WEBP", save_all=True, append_images=frames[:1] and [
        dot.transpose(Image.Transpose.ROTATE_90)], lossless=True)


def check_decoding(tool, checks, files):
    for what, path in files.all:
        im = Image.open(path)
        checks.same(what + " RGB", tool.ask(f"decode 3 ignore {path}"), array(im.convert("RGB")))
        if im.mode != "I" or im.format == "PNG":
            checks.same(what + " L", tool.ask(f"decode 1 ignore {path}"), array(Image.open(path).convert("L")))


def check_orientation(tool, checks, folder):
    files = Files(folder)
    for order in ("<", ">"):
        for value in list(range(1, 9)) + [0, 9]:
            exif = Image.Exif()
            exif.endian = order
            exif[0x0112] = value
            exif[0x010f] = "maker"
            for kind in ("JPEG", "PNG", "WEBP"):
                path = files.add(f"{kind} orientation {value}{order}", noise(19, 12), format=kind, exif=exif.tobytes())
                im = Image.open(path)
                checks.same(f"{kind} orientation {value}{order} applied", tool.ask(f"decode 3 apply {path}"),
                            array(ImageOps.exif_transpose(im).convert("RGB")))
                checks.same(f"{kind} orientation {value}{order} ignored", tool.ask(f"decode 3 ignore {path}"),
                            array(Image.open(path).convert("RGB")))


def check_resizing(tool, checks, folder):
    files = Files(folder)
    for channels in (1, 3):
        for w, h in ((1, 1), (2, 3), (13, 17), (50, 37), (121, 64), (300, 200)):
            path = files.add(f"{w}x{h}", noise(w, h, channels), format="PNG")
            im = Image.open(path)
            for W, H in ((w, h), (1, 1), (w, 5), (7, h), (8, 8), (31, 67), (97, 40), (256, 256)):
                for name, number in FILTERS.items():
                    want = array(im.resize((W, H), number))
                    what = f"{name} {w}x{h}x{channels} to {W}x{H}"
                    checks.same(what, tool.ask(f"resize {name} 0 0 {w} {h} {W} {H} 0 0 {W} {H} {path}"), want)
                    x, y = random.randrange(W), random.randrange(H)
                    pw, ph = random.randint(1, W - x), random.randint(1, H - y)
                    got = tool.ask(f"resize {name} 0 0 {w} {h} {W} {H} {x} {y} {pw} {ph} {path}")
                    checks.same(what + f" part {x},{y} {pw}x{ph}", got, want[y:y + ph, x:x + pw])
                    x, y = random.randrange(w), random.randrange(h)
                    fw, fh = random.randint(1, w - x), random.randint(1, h - y)
                    got = tool.ask(f"resize {name} {x} {y} {fw} {fh} {W} {H} 0 0 {W} {H} {path}")
                    want = array(im.crop((x, y, x + fw, y + fh)).resize((W, H), number))
                    checks.same(what + f" from {x},{y} {fw}x{fh}", got, want)


def check_refusals(tool, checks, files):
    """What Pillow refuses is refused, at every cut; and nothing makes the tool die."""
    for what, path in files.all[::3]:
        data = open(path, "rb").read()
        for cut in sorted({random.randrange(len(data)) for _ in range(12)}):
            short = os.path.join(files.folder, "cut")
            with open(short, "wb") as f:
                f.write(data[:cut])
            got = tool.ask(f"decode 3 ignore {short}")
            try:
                want = array(Image.open(short).convert("RGB"))
            except Exception:
                checks.refused(f"{what} cut at {cut} of {len(data)}", got)
                continue
            if not isinstance(got, str):
                checks.same(f"{what} cut at {cut} of {len(data)}", got, want)


def check_photos(tool, checks):
    photos = sorted(glob.glob(os.path.join(DATA, "datasets", "**", "*.jp*g"), recursive=True) +
                    glob.glob(os.path.join(DATA, "datasets", "**", "*.JP*G"), recursive=True))
    if not photos:
        print("no photos: set TVC_TEST_DATA to check against real ones too")
        return
    for path in photos[::9]:
        im = Image.open(path).convert("RGB")
        checks.same(path, tool.ask(f"decode 3 ignore {path}"), array(im))
        w, h = im.size
        W, H = (256, int(256 * h / w)) if w <= h else (int(256 * w / h), 256)
        for name in ("bilinear", "bicubic"):
            checks.same(f"{name} {path}", tool.ask(f"resize {name} 0 0 {w} {h} {W} {H} 0 0 {W} {H} {path}"),
                        array(im.resize((W, H), FILTERS[name])))


def prepare(tool, path, channels, height, width, layout="nchw", **options):
    words = " ".join(f"{k}={v}" for k, v in options.items())
    got = tool.ask(f"prepare {channels} {height} {width} {layout} [{words}] {path}", np.float32)
    return got if isinstance(got, str) or layout == "nhwc" else got.reshape(channels, height, width)


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def reference(im, resize, crop, interpolation, mean, std):
    """torchvision's classification transform on PIL images, every step its own function."""
    import torch
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as F
    im = F.resize(im, resize, InterpolationMode(interpolation))
    im = F.center_crop(im, list(crop))
    return F.normalize(F.to_tensor(im), torch.tensor(mean), torch.tensor(std)).numpy()


def check_preparing(tool, checks, folder):
    try:
        import torchvision  # noqa: F401
    except ImportError as e:
        print(f"not compared with torchvision: {e}")
        return
    files = Files(folder)
    for w, h in ((300, 200), (200, 300), (257, 256), (64, 400), (31, 17), (500, 333), (223, 224), (1, 9)):
        path = files.add(f"{w}x{h}", noise(w, h), format="PNG")
        im = Image.open(path)
        for resize, crop in ((64, (56, 56)), (57, (56, 56)), (40, (56, 60)), (59, (56, 33)), (33, (64, 20))):
            for name in ("bilinear", "bicubic", "nearest"):
                want = reference(im, [resize], crop, name, *IMAGENET)
                what = f"prepare {w}x{h} resize {resize} crop {crop} {name}"
                size = f"{crop[0]}x{crop[1]}"
                got = prepare(tool, path, 3, *crop, preset="imagenet", resize=resize, crop=size, interpolation=name)
                checks.same(what, got, want)
                got = prepare(tool, path, 3, *crop, "nhwc", preset="imagenet", resize=resize, crop=size, interpolation=name)
                checks.same(what + " nhwc", got, want.transpose(1, 2, 0))
        want = reference(im, [48, 40], (48, 40), "lanczos", (0.5,) * 3, (0.25,) * 3)
        got = prepare(tool, path, 3, 48, 40, resize="48x40", interpolation="lanczos", mean=0.5, std=0.25)
        checks.same(f"prepare {w}x{h} warp", got, want)
        bgr = np.asarray(im.resize((40, 40), 2), np.float32).transpose(2, 0, 1)[::-1] - np.float32([[[104]], [[117]], [[123]]])
        got = prepare(tool, path, 3, 40, 40, resize="40x40", order="bgr", scale=1, mean="104,117,123", std=1)
        checks.same(f"prepare {w}x{h} bgr", got, bgr)
        grey = np.asarray(im.convert("L").resize((28, 28), 2), np.float32)[None]
        checks.same(f"prepare {w}x{h} grey", prepare(tool, path, 1, 28, 28, resize="28x28", scale=1, mean=0, std=1), grey)
        want = reference(im, [256], (224, 224), "bilinear", *IMAGENET)
        checks.same(f"prepare {w}x{h} assumed", prepare(tool, path, 3, 224, 224), want)


def check_crops(tool, checks):
    """The crops that come with the sample, made by Pillow, are made again from the JPEGs.

    Whoever made them rounded the longer side and the margins in another way than torchvision does.
    """
    sample = os.path.join(DATA, "datasets", "imagenet_sample50")
    crops = os.path.join(sample, "crops_50x224x224x3_rgb_u8.bin")
    if not os.path.exists(crops):
        return
    want = np.fromfile(crops, np.uint8).reshape(50, 224, 224, 3)
    photos = sorted(glob.glob(os.path.join(sample, "**", "*.JPEG"), recursive=True))
    for path, crop in zip(photos, want):
        w, h = Image.open(path).size
        W, H = (256, round(256 * h / w)) if w <= h else (round(256 * w / h), 256)
        part = f"{(W - 224) // 2} {(H - 224) // 2} 224 224"
        checks.same("crop of " + path, tool.ask(f"resize bilinear 0 0 {w} {h} {W} {H} {part} {path}"), crop)


def main():
    tool, checks = Tool(sys.argv[1]), Checks()
    with tempfile.TemporaryDirectory() as folder:
        files = Files(folder)
        for make in (make_jpegs, make_pngs, make_bmps, make_pnms, make_webps):
            make(files)
        check_decoding(tool, checks, files)
        check_refusals(tool, checks, files)
        check_orientation(tool, checks, folder)
        check_resizing(tool, checks, folder)
        check_preparing(tool, checks, folder)
    check_crops(tool, checks)
    check_photos(tool, checks)
    return checks.report()


if __name__ == "__main__":
    sys.exit(main())
