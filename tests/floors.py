#!/usr/bin/env python3
"""Checks every #include against the table of rooms in ARCHITECTURE.md.

A row `| room/ | what it holds | includes |` of the section "Rooms and floors" lists, in
backquotes, the rooms or single headers that the room's files may include; its own room is
always allowed, "everything" allows all. A room written as a file pattern (`passes/surgery*`)
adds to its room's list. Which library may be used where is the table below it, "Libraries".

usage: floors.py SOURCE_ROOT
"""
import fnmatch
import re
import sys
from pathlib import Path

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def section(text, title):
    """The lines under a heading, up to the next one."""
    _, _, rest = text.partition(f"## {title}\n")
    return re.split(r"^## ", rest, flags=re.M)[0].splitlines()


def table(lines):
    """The rows below a table's rule, as lists of cells."""
    rows = [[c.strip() for c in line.strip().strip("|").split("|")] for line in lines if line.startswith("|")]
    return [row for row in rows[1:] if not set(row[0]) <= set("-: ")]


def quoted(cell):
    return re.findall(r"`([^`]+)`", cell)


def allowed(rule, target):
    return target.startswith(rule) if rule.endswith("/") else target == rule


class House:
    def __init__(self, text):
        self.rooms = {quoted(r[0])[0]: None if "everything" in r[2] else quoted(r[2])
                      for r in table(section(text, "Rooms and floors"))}
        self.libraries = {header: quoted(row[1]) for row in table(section(text, "Libraries"))
                          for header in quoted(row[2])}
        assert len(self.rooms) > 8 and self.libraries, "ARCHITECTURE.md has lost its tables"

    def rules(self, path):
        """What a file may include, or None for everything; KeyError if it lives in no room."""
        own = [room for room in self.rooms if path.startswith(room) or fnmatch.fnmatch(path, room)]
        if not own:
            raise KeyError(path)
        if any(self.rooms[room] is None for room in own):
            return None
        return own + [rule for room in own for rule in self.rooms[room]]


def complaints(house, root, path):
    name = path.relative_to(root).as_posix()
    try:
        rules = house.rules(name)
    except KeyError:
        yield f"{name}: lies in no room of ARCHITECTURE.md"
        return
    for kind, target in INCLUDE.findall(path.read_text(encoding="utf-8")):
        library = [p for p in house.libraries if fnmatch.fnmatch(target, p)]
        if library:
            if not any(name.startswith(room) for room in house.libraries[library[0]]):
                yield f"{name}: includes <{target}>, which belongs to {', '.join(house.libraries[library[0]])}"
        elif kind == '"':
            beside = (path.parent / target).resolve()
            found = beside if beside.exists() else (root / target).resolve()
            inside = found.is_relative_to(root)
            target = found.relative_to(root).as_posix() if inside else target
            if rules is not None and not any(allowed(rule, target) for rule in rules):
                yield f"{name}: includes {target}, against the floors of ARCHITECTURE.md"


def main():
    root = Path(sys.argv[1]).resolve()
    house = House((root / "ARCHITECTURE.md").read_text(encoding="utf-8"))
    folders = {room.split("/")[0] for room in house.rooms if "/" in room}
    files = sorted(f for d in folders for f in (root / d).rglob("*.[ch]")) + sorted(root.glob("*.[ch]"))
    bad = [line for f in files for line in complaints(house, root, f)]
    print("\n".join(bad) if bad else f"{len(files)} files keep to their floors")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
