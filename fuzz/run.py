"""Fuzz: each target for a while, with libFuzzer through atheris.

`python fuzz/run.py` runs all targets, `python fuzz/run.py head` one of them, each in a process of
its own for FUZZ_SECONDS. Begins with the corpus in the repository; what is found on the way is
kept in `.fuzz/` for the next run. An input that breaks a promise, takes too long or too much memory
is shown here, kept in `.fuzz/crashes/`, and makes this fail. Put it into `corpus/` with the fix.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # when run as a file
CORPUS = ROOT / "fuzz" / "corpus"
KEPT = ROOT / ".fuzz"
CRASHES = KEPT / "crashes"
SECONDS = float(os.environ.get("FUZZ_SECONDS", "60"))
LONGEST = 4096  # bytes of an input; what only shows in more is about time, which tests measure
SLOW = 5  # seconds for one input
MEMORY = 1024  # MiB
SHOWN = 2000  # bytes of a crash's input that are printed


def fuzz(name: str) -> None:
    """In a process of its own: libFuzzer takes it over, and ends it."""
    atheris = import_module("atheris")  # in .venv-fuzz only
    with atheris.instrument_imports(include=["wsgi_portproxy"]):
        target = import_module("fuzz.targets").TARGETS[name]
    found = KEPT / name
    found.mkdir(parents=True, exist_ok=True)
    CRASHES.mkdir(exist_ok=True)
    dictionary = ROOT / "fuzz" / "words.dict"
    arguments = [
        *(f"-max_total_time={SECONDS:.0f}", f"-max_len={LONGEST}", f"-timeout={SLOW}"),
        *(f"-rss_limit_mb={MEMORY}", f"-dict={dictionary}", f"-artifact_prefix={CRASHES}/{name}-"),
        *("-print_final_stats=1", "-verbosity=0", str(found), str(CORPUS / name)),
    ]
    atheris.Setup([sys.argv[0], *arguments], target)
    atheris.Fuzz()


def run(name: str) -> str:
    """Fuzz one target; what went wrong, or nothing."""
    before = set(CRASHES.glob(f"{name}-*"))
    print(f"{name}: {SECONDS:.0f} s", flush=True)
    command = [sys.executable, __file__, "--one", name]
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    output = done.stdout.decode("utf-8", "backslashreplace")
    for line in output.splitlines():
        if line.startswith(("stat::number_of_executed_units", "stat::new_units_added")):
            print(f"  {line.removeprefix('stat::')}")
    if done.returncode == 0:
        return ""
    report = [line for line in output.splitlines() if not line.startswith(("INFO:", "WARNING:"))]
    lines = [f"{name} FAILED:", *report]
    for crash in sorted(set(CRASHES.glob(f"{name}-*")) - before):
        lines += [f"The input, in {crash.relative_to(ROOT)}:", repr(crash.read_bytes()[:SHOWN])]
    return "\n".join(lines)


def main() -> int:
    from fuzz.targets import TARGETS

    names = sys.argv[1:] or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        print(f"No such target: {', '.join(sorted(unknown))}. There are: {', '.join(TARGETS)}")
        return 2
    failures = [failure for name in names if (failure := run(name))]
    print("\n\n".join(["", *failures]) if failures else "No target failed.")
    return 1 if failures else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        fuzz(sys.argv[2])
    sys.exit(main())
