"""Counting what holds: check() as often as wanted, then exit_checks()."""
import sys

bad = done = 0


def check(what, holds, more=""):
    global bad, done
    done += 1
    if not holds:
        bad += 1
        print(f"WRONG {what} {more}", flush=True)


def exit_checks():
    print(f"{done - bad} of {done} checks hold")
    sys.exit(bad > 0)
