"""The machine a benchmark runs on."""
import datetime
import os
import re
from pathlib import Path


def machine():
    """The processor's name, how many of it, the widest vectors it has, and the name of the results' file."""
    info = Path("/proc/cpuinfo").read_text()
    found = re.search(r"model name\s*: (.*)", info)
    flags = set(re.search(r"flags\s*: (.*)", info).group(1).split()) if "flags" in info else set()
    isa = next((i for i in ("amx_tile", "avx512f", "avx2") if i in flags), "neither AVX2 nor AVX-512")
    cpu = found.group(1).strip() if found else "unknown"
    return {"cpu": cpu, "cpus": os.cpu_count(), "isa": isa, "date": datetime.date.today().isoformat(),
            "file": re.sub(r"[^a-z0-9]+", "-", f"{cpu} {isa}".lower()).strip("-")}
