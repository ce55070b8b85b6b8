"""Breaks the package on purpose, in one place at a time, and counts what the tests notice.

A mutant is a module with one expression or statement changed: a comparison turned round, a constant
off by one, a call left out. A sample of them, the same for the same seed, is tried in copies of the
tree. A mutant that survives all the tests of its module is printed with its place: a test that is
missing, or a change that means nothing.

    python scripts/mutants.py                              # 200 over the modules below
    python scripts/mutants.py --modules rewrite/cookies --sample 30 --tests unit/test_cookies.py
    python scripts/mutants.py --root ../an-earlier-checkout --seed 7 --output before.json
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "wsgi_portproxy"
TIMEOUT = 300  # seconds for the tests of one mutant; one that takes longer is noticed too

# The tests that look at a module, below tests/, the quick ones first. None has to be there.
TESTS: dict[str, list[str]] = {
    "locate/locator": [
        "unit/test_locate*.py unit/test_error_page.py unit/test_strays*.py",
        "property/test_locate.py property/test_strays.py test_middleware.py",
        "http/test_request_line.py http/test_errors.py http/test_host_form.py",
        "hostile/test_mounts.py hostile/test_ports_and_targets.py",
    ],
    "policy/same_origin": [
        "unit/test_origin.py unit/test_strays*.py",
        "hostile/test_authorization.py http/test_host_form.py",
    ],
    "rewrite/cookies": [
        "unit/test_cookies.py unit/test_ask_app*.py",
        "property/test_cookies.py test_middleware.py",
        "http/test_mapping.py hostile/test_to_*.py http/test_redirects.py",
    ],
    "rewrite/request_headers": [
        "unit/test_headers_to_service.py unit/test_header_*.py",
        "test_middleware.py http/test_request_headers.py http/test_mapping.py",
        "http/test_response_head.py hostile/test_to_*.py",
    ],
    "rewrite/response_headers": [
        "unit/test_headers_to_visitor.py unit/test_header_*.py",
        "test_middleware.py http/test_mapping.py http/test_response_head.py hostile/test_to_*.py",
    ],
    "upstream/framing": [
        "unit/test_framing_*.py",
        "property/test_framing.py http/test_response_head.py",
        "http/test_response_framing.py http/test_response_body.py hostile/test_floods.py",
    ],
    "policy/authorize": [
        "unit/test_authorize*.py",
        "test_middleware.py contrib hostile/test_authorization.py",
    ],
    "policy/concurrency": [
        "unit/test_concurrency.py",
        "hostile/test_caps.py http/test_limits.py",
    ],
    "tunnel/carrier": [
        "tunnels/test_relay.py",
        "tunnels/test_streams*.py tunnels/test_libraries.py",
        "tunnels/test_worker_life.py http/test_metrics.py tunnels/test_soak_short.py",
    ],
}


@dataclass(frozen=True)
class Mutant:
    """One change: the text `new` for that between two offsets, in bytes, of a module's source."""

    module: str
    line: int
    change: str
    start: int
    end: int
    new: str


@dataclass(frozen=True)
class Outcome:
    mutant: Mutant
    killed: bool
    stage: int  # of the tests that noticed it; of all that did not


# --- Making them ---------------------------------------------------------------------------------

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """The ways in which a node may be wrong."""
    new: Any = deepcopy(node)
    if isinstance(new, ast.Compare):
        new.ops[0] = _COMPARISONS[type(new.ops[0])]()
    elif isinstance(new, ast.BoolOp):
        new.op = ast.Or() if isinstance(new.op, ast.And) else ast.And()
    elif isinstance(new, ast.UnaryOp) and isinstance(new.op, ast.Not):
        new = new.operand
    elif isinstance(new, ast.BinOp) and isinstance(new.op, (ast.Add, ast.Sub)):
        new.op = ast.Sub() if isinstance(new.op, ast.Add) else ast.Add()
    elif isinstance(new, ast.Constant) and (value := wrong(new.value)) is not None:
        new.value = value
    elif isinstance(new, (ast.If, ast.While, ast.IfExp)):
        yield ast.UnaryOp(ast.Not(), new.test)
        return
    elif isinstance(new, ast.Return) and new.value is not None:
        new.value = ast.Constant(None)
    elif isinstance(new, ast.Break):
        new = ast.Continue()
    elif isinstance(new, ast.Continue):
        new = ast.Break()
    elif isinstance(new, (ast.Raise, ast.AugAssign)) or (
        isinstance(new, ast.Expr) and isinstance(new.value, ast.Call)
    ):
        new = ast.Pass()
    else:
        return
    yield new


def wrong(value: object) -> Any:
    """Another constant; None where there is none to take."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, str) and value:
        return value + "XX"
    if isinstance(value, bytes) and value:
        return value + b"XX"
    return None


class Places(ast.NodeVisitor):
    """The nodes that are code: no docstrings, annotations, texts of f-strings, imports."""

    def __init__(self) -> None:
        self.nodes: list[ast.AST] = []

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.JoinedStr)):
            return
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return  # a docstring, or `...`
        self.nodes.append(node)
        for name, child in ast.iter_fields(node):
            if name in ("annotation", "returns"):
                continue
            for one in child if isinstance(child, list) else [child]:
                if isinstance(one, ast.AST):
                    self.visit(one)


def mutants_of(module: str, source: str) -> list[Mutant]:
    """All of a module."""
    offsets = [0]
    for line in source.encode().splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    places = Places()
    places.visit(ast.parse(source))
    found = []
    for node in places.nodes:
        for new in changed(node):
            old = node.test if isinstance(node, (ast.If, ast.While, ast.IfExp)) else node
            assert isinstance(old, (ast.expr, ast.stmt))
            assert old.end_lineno is not None
            assert old.end_col_offset is not None
            text = ast.unparse(ast.fix_missing_locations(new))
            found.append(
                Mutant(
                    module,
                    old.lineno,
                    f"{shortened(ast.unparse(old))} -> {shortened(text)}",
                    offsets[old.lineno - 1] + old.col_offset,
                    offsets[old.end_lineno - 1] + old.end_col_offset,
                    f"({text})" if isinstance(old, ast.expr) else text,
                )
            )
    return found


def shortened(text: str) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= 60 else one_line[:57] + "..."


def mutated(source: str, mutant: Mutant) -> str:
    data = source.encode()
    return (data[: mutant.start] + mutant.new.encode() + data[mutant.end :]).decode()


def sample(root: Path, modules: Iterable[str], number: int, seed: int) -> list[Mutant]:
    """About as many of each module, always the same for a seed; each of them compiles."""
    chosen: list[Mutant] = []
    names = list(modules)
    for index, module in enumerate(names):
        source = (root / PACKAGE / f"{module}.py").read_text("utf-8")
        found = [one for one in mutants_of(module, source) if compiles(mutated(source, one))]
        share = (number - len(chosen)) // (len(names) - index)
        picking = random.Random(f"{seed} {module}")  # noqa: S311 - nothing secret
        picked = picking.sample(found, min(share, len(found)))
        chosen += sorted(picked, key=lambda one: one.start)
    return chosen


def compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


# --- Trying them ---------------------------------------------------------------------------------


class Copies:
    """Copies of the tree, one for each mutant that is tried at a time."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._folder = folder
        self._made = 0
        self._free: list[Path] = []
        self._lock = threading.Lock()

    def take(self) -> Path:
        with self._lock:
            if self._free:
                return self._free.pop()
            self._made += 1
            copy = self._folder / str(self._made)
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        done = subprocess.run(listed, cwd=self._root, capture_output=True, text=True, check=True)
        for name in done.stdout.splitlines():
            if (self._root / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self._root / name, copy / name)
        return copy

    def give_back(self, copy: Path) -> None:
        with self._lock:
            self._free.append(copy)


def tried(copies: Copies, mutant: Mutant, stages: list[str]) -> Outcome:
    copy = copies.take()
    file = copy / PACKAGE / f"{mutant.module}.py"
    source = file.read_text("utf-8")
    file.write_text(mutated(source, mutant), "utf-8")
    try:
        number = 0
        for number, patterns in enumerate(stages, 1):
            if not passes(copy, patterns):
                return Outcome(mutant, killed=True, stage=number)
        return Outcome(mutant, killed=False, stage=number)
    finally:
        file.write_text(source, "utf-8")
        copies.give_back(copy)


def passes(copy: Path, patterns: str) -> bool:
    """Whether the tests of a stage notice nothing."""
    files = sorted({str(one) for name in patterns.split() for one in (copy / "tests").glob(name)})
    if not files:
        return True
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *files]
    env = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        command,
        cwd=copy,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(TIMEOUT) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def run(root: Path, chosen: list[Mutant], tests: dict[str, list[str]], jobs: int) -> list[Outcome]:
    with tempfile.TemporaryDirectory(prefix="portproxy-mutants-") as folder:
        copies = Copies(root, Path(folder))
        unchanged = replace(chosen[0], start=0, end=0, new="")
        for module in dict.fromkeys(one.module for one in chosen):
            if tried(copies, unchanged, tests[module]).killed:
                sys.exit(f"The tests of {module} fail without any change.")

        def one(mutant: Mutant) -> Outcome:
            outcome = tried(copies, mutant, tests[mutant.module])
            word = f"noticed ({outcome.stage})" if outcome.killed else "SURVIVED"
            print(f"{word:12} {mutant.module}.py:{mutant.line}  {mutant.change}", flush=True)
            return outcome

        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(one, chosen))


def table(outcomes: list[Outcome]) -> str:
    rows = ["| module | mutants | noticed |", "|---|---|---|"]
    for module in [*dict.fromkeys(one.mutant.module for one in outcomes), None]:
        these = [one for one in outcomes if module in (None, one.mutant.module)]
        killed = sum(one.killed for one in these)
        rows.append(
            f"| {module or 'all'} | {len(these)} | {killed} ({100 * killed / len(these):.1f} %) |"
        )
    return "\n".join(rows)


def main() -> int:
    description, _, examples = (__doc__ or "").partition("\n\n    python")
    parser = argparse.ArgumentParser(
        description=description,
        epilog="    python" + examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names: Callable[[str], list[str]] = lambda text: text.split(",")  # noqa: E731
    parser.add_argument("--modules", type=names, default=[*TESTS], help="such as rewrite/cookies")
    parser.add_argument("--sample", type=int, default=200, help="how many mutants (200)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (1)")
    parser.add_argument("--tests", nargs="+", help="these alone, for each of the modules")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout to try (this one)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2, help="at a time")
    parser.add_argument("--output", type=Path, help="a JSON file for all outcomes")
    parser.add_argument("--at-least", type=float, default=0.0, help="percent; fewer is a failure")
    given = parser.parse_args()
    tests = {one: [" ".join(given.tests)] if given.tests else TESTS[one] for one in given.modules}
    chosen = sample(given.root.resolve(), given.modules, given.sample, given.seed)
    outcomes = run(given.root.resolve(), chosen, tests, given.jobs)
    if given.output:
        given.output.write_text(json.dumps([asdict(one) for one in outcomes], indent=1) + "\n")
    print(f"\n{table(outcomes)}")
    rate = 100 * sum(one.killed for one in outcomes) / len(outcomes)
    return 0 if rate >= given.at_least else 1


if __name__ == "__main__":
    sys.exit(main())
