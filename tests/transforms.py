"""data/'s transforms against torchvision's functions on Pillow images, byte for byte.

The changes are compared with their parameters given; whole lists of random ones with parameters
drawn here, by a Philox of our own and torchvision's get_params in so many words.

usage: transforms.py build/tests/transforms_tool
Skipped (exit 77) without torchvision.
"""
import glob
import math
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from checks import needed

with needed():
    import numpy as np
    from PIL import Image
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as F

from images import DATA, Checks, Tool, array, noise

AUGMENT = 6                                  # enum DrawPurpose
SIZES = ((1, 1), (7, 5), (16, 16), (33, 17), (64, 48), (50, 50), (3, 90))


def philox(key, hi, lo):
    mask = 0xffffffff
    c = [lo & mask, lo >> 32 & mask, hi & mask, hi >> 32 & mask]
    k0, k1 = key & mask, key >> 32 & mask
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k0, b & mask, (a >> 32) ^ c[3] ^ k1, a & mask]
        k0, k1 = (k0 + 0x9E3779B9) & mask, (k1 + 0xBB67AE85) & mask
    return c


class Draw:
    def __init__(self, seed, epoch, sample):
        self.key, self.stream, self.at = seed, AUGMENT << 56 | epoch, sample << 24

    def word(self):
        r = philox(self.key, self.stream, self.at)
        self.at += 1
        return r[1] << 32 | r[0]

    def between(self, lo, hi):
        return lo + (hi - lo) * ((self.word() >> 11) * 2.0 ** -53)

    def below(self, n):
        return (self.word() >> 32) * n >> 32


# torchvision's get_params and forward, with the numbers drawn above

def resized_crop(im, d, size, lo, hi, least=3 / 4, most=4 / 3):
    width, height = im.size
    bounds = math.log(least), math.log(most)
    for _ in range(10):
        target = width * height * d.between(lo, hi)
        aspect = math.exp(d.between(*bounds))
        w, h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < w <= width and 0 < h <= height:
            top, left = d.below(height - h + 1), d.below(width - w + 1)
            break
    else:
        ratio = width / height
        w, h = width, height
        if ratio < least:
            h = round(w / least)
        elif ratio > most:
            w = round(h * most)
        w, h = max(w, 1), max(h, 1)
        top, left = (height - h) // 2, (width - w) // 2
    return F.resized_crop(im, top, left, h, w, list(size), InterpolationMode.BILINEAR)


def crop(im, d, size):
    top, left = (d.below(im.height - size[0] + 1) if im.height > size[0] else 0,
                 d.below(im.width - size[1] + 1) if im.width > size[1] else 0)
    return F.crop(im, top, left, *size)


def jitter(im, d, size, *strength):
    order = [0, 1, 2, 3]
    for i in (3, 2, 1):
        k = d.below(i + 1)
        order[i], order[k] = order[k], order[i]
    strength = list(strength) + [0] * (4 - len(strength))
    by = [d.between(-s, s) if i == 3 else d.between(max(0, 1 - s), 1 + s) for i, s in enumerate(strength)]
    change = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
    for i in order:
        if strength[i]:
            im = change[i](im, by[i])
    return im


STEPS = {
    "resized-crop": resized_crop,
    "resize": lambda im, d, size, s: F.resize(im, int(s)),
    "center-crop": lambda im, d, size: F.center_crop(im, list(size)),
    "crop": crop,
    "pad": lambda im, d, size, n: F.pad(im, int(n)),
    "hflip": lambda im, d, size, p=0.5: F.hflip(im) if d.between(0, 1) < p else im,
    "vflip": lambda im, d, size, p=0.5: F.vflip(im) if d.between(0, 1) < p else im,
    "rotate": lambda im, d, size, a: F.rotate(im, d.between(-a, a)),
    "jitter": jitter,
}
LISTS = (
    [("resized-crop", 0.08, 1), ("hflip", 0.5), ("rotate", 15), ("jitter", 0.4, 0.4, 0.4, 0.1), ("pad", 4)],
    [("resized-crop", 0.5, 1), ("hflip",)],
    [("pad", 4), ("crop",), ("hflip", 0.5)],
    [("hflip", 1), ("vflip", 1), ("rotate", 180), ("jitter", 0.9)],
    [("resize", 40), ("vflip", 0.3), ("jitter", 0, 0.8, 0, 0.5), ("rotate", 90)],
    [("resize", 50), ("rotate", 30), ("center-crop",), ("jitter", 0.1, 0.2, 3)],
    [("resized-crop", 0.01, 0.02, 0.1, 10)],
)


def text(steps):
    def one(name, *v):
        if name == "resized-crop":
            return f"{name}({'-'.join(map(str, v[:2]))}{',' + '-'.join(map(str, v[2:])) if v[2:] else ''})"
        return name + (f"({','.join(map(str, v))})" if v else "")
    return ",".join(one(*s) for s in steps)


def check_lists(tool, checks, files):
    """Every list over every file, with several samples and epochs."""
    size = (32, 24)
    for steps in LISTS:
        for path in files:
            for channels, mode in ((3, "RGB"), (1, "L")):
                im = Image.open(path).convert(mode)
                if not any(s[0].startswith("resize") for s in steps):
                    im = F.center_crop(F.resize(im, size[0]), list(size))
                for seed, epoch, sample in ((0, 0, 0), (1, 2, 3), (2 ** 63 + 5, 70000, 999999)):
                    d, want = Draw(seed, epoch, sample), im
                    for name, *v in steps:
                        want = STEPS[name](want, d, size, *v)
                    if want.size != size[::-1]:
                        want = crop(want, d, size)
                    got = tool.ask(f"augment {channels} {size[0]} {size[1]} {seed} {epoch} {sample} {text(steps)} {path}")
                    checks.same(f"{text(steps)} {mode} {os.path.basename(path)} {im.size} seed {seed}", got, array(want))


def check_geometry(tool, checks, files):
    for path in files:
        im = Image.open(path).convert("RGB")
        w, h = im.size
        for angle in (0, 1e-14, 0.3, 15, -15, 44.99, 45, 89.999999, 90, 123.456, 180, 180 + 1e-13, 270, -90, 359.5, 720.25):
            got = tool.ask(f"rotate 3 {angle!r} {path}")
            checks.same(f"rotate {angle} {w}x{h}", got, array(F.rotate(im, angle)))
        grey = Image.open(path).convert("L")
        checks.same(f"rotate grey {w}x{h}", tool.ask(f"rotate 1 33.3 {path}"), array(F.rotate(grey, 33.3)))
        checks.same(f"hflip {w}x{h}", tool.ask(f"hflip 3 0 {path}"), array(F.hflip(im)))
        checks.same(f"vflip {w}x{h}", tool.ask(f"vflip 3 0 {path}"), array(F.vflip(im)))
        checks.same(f"pad {w}x{h}", tool.ask(f"window 3 -4 -4 {w + 8} {h + 8} {path}"), array(F.pad(im, 4)))
        for box in ((0, 0, 1, 1), (-3, 1, w, h), (w, h, 2, 2), (w // 2, -h, 5, 3 * h), (-9, -9, 4, 4)):
            want = im.crop((box[0], box[1], box[0] + box[2], box[1] + box[3]))
            checks.same(f"window {box} of {w}x{h}", tool.ask(f"window 3 {' '.join(map(str, box))} {path}"), array(want))


def check_colours(tool, checks, files):
    for path in files:
        for channels, mode in ((3, "RGB"), (1, "L")):
            im = Image.open(path).convert(mode)
            for factor in (0, 0.3, 0.6180339, 1, 1.4, 1.73, 3.5):
                for name in ("brightness", "contrast", "saturation"):
                    want = getattr(F, f"adjust_{name}")(im, factor)
                    checks.same(f"{name} {factor} {mode} {im.size}", tool.ask(f"{name} {channels} {factor!r} {path}"), array(want))
            for turn in (-0.5, -0.123, -0.001, 0, 0.01, 0.1, 0.37, 0.5):
                checks.same(f"hue {turn} {mode} {im.size}", tool.ask(f"hue {channels} {turn!r} {path}"),
                            array(F.adjust_hue(im, turn)))


def check_every_colour(tool, checks, folder):
    """All 2^24 colours, there and back through hue, and away from their greys."""
    n = np.arange(1 << 24, dtype=np.uint32)
    rgb = np.stack([n & 255, n >> 8 & 255, n >> 16], -1).astype(np.uint8).reshape(4096, 4096, 3)
    path = os.path.join(folder, "all.ppm")
    im = Image.fromarray(rgb)
    im.save(path)
    checks.same("every colour, hue", tool.ask(f"hue 3 0.03 {path}"), array(F.adjust_hue(im, 0.03)))
    checks.same("every colour, saturation", tool.ask(f"saturation 3 1.37 {path}"), array(F.adjust_saturation(im, 1.37)))


def check_refusals(tool, checks, path):
    for bad in ("nothing", "hflip(2)", "hflip(", "hflip()", "crop(3)", "pad", "pad(1.5)", "pad(nan)", "rotate(15",
                "jitter(0.1,0.1,0.1,0.6)", "resized-crop(1-0.5)", "resized-crop(0.5)", "resized-crop(0.5-1,2-1)", "resize(20)",
                "hflip,", ",hflip", "hflip;vflip", "hflip(0.5)x", ",".join(["hflip"] * 17), "rotate(1e999)", "pad(-1)"):
        got = tool.ask(f"augment 3 32 24 0 0 0 {bad} {path}")
        checks.refused(f"--augment {bad}", got)
        if isinstance(got, str) and not got.startswith("error 2 "):
            checks.bad.append(f"--augment {bad}: {got}")


def main():
    tool, checks = Tool(sys.argv[1]), Checks()
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for w, h in SIZES:
            files.append(os.path.join(folder, f"{w}x{h}.png"))
            Image.fromarray(noise(w, h)).save(files[-1])
        photos = sorted(glob.glob(os.path.join(DATA, "datasets", "hymenoptera_data", "val", "*", "*.jpg")))[::40]
        if not photos:
            print("no photos: set TVC_TEST_DATA to check against real ones too")
        check_geometry(tool, checks, files + photos[:1])
        check_colours(tool, checks, files[1:] + photos[:1])
        check_lists(tool, checks, files + photos)
        check_every_colour(tool, checks, folder)
        check_refusals(tool, checks, files[0])
    return checks.report()


if __name__ == "__main__":
    sys.exit(main())
