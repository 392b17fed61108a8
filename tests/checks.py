"""Counting what holds: check() as often as wanted, then exit_checks(). Around imports, needed()."""
import contextlib
import sys

bad = done = 0


def check(what, holds, more=""):
    global bad, done
    done += 1
    if not holds:
        bad += 1
        print(f"WRONG {what} {more}", flush=True)


@contextlib.contextmanager
def needed():
    """A test without the packages it takes is skipped."""
    try:
        yield
    except ImportError as e:
        print(f"skipped: {e}: set TVC_PYTHON, or run tools/setup.sh test")
        sys.exit(77)


def exit_checks():
    print(f"{done - bad} of {done} checks hold")
    sys.exit(bad > 0)
