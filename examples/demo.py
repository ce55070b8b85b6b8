"""The demo: a multi-user Django app under gunicorn, and a TensorBoard that opens through it.

`make demo` installs what this needs and runs it. It prepares a database and sample training logs,
starts both servers on loopback, waits until they answer, and says what to open. Ctrl-C (or SIGTERM,
or closing the terminal) ends everything that it started.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import http.client
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

EXAMPLES = Path(__file__).resolve().parent
DJANGO_PROJECT = EXAMPLES / "django_project"
FIRST_PORT, LAST_PORT = 10000, 20000  # what the proxy opens; the project's settings say the same
# A service on port 16006 has a root of its own at port 26006 of the site: there every one works.
OFFSET = 10000

START_SECONDS = 60  # TensorBoard takes 3 to 10; longer from a cold disk on a small machine
END_SECONDS = 10  # to end by itself; then it is killed
POLL_SECONDS = 0.1
LOG_LINES = 20  # of a server that died, shown to the person


class Problem(Exception):
    """The demo cannot go on. The text says why, for the person at the terminal."""


class Stopped(Exception):
    """Ctrl-C, SIGTERM or SIGHUP arrived."""


def main() -> int:
    options = parse_options()
    stop = StopRequest()
    try:
        require_packages()
        with Processes(options.data, stop) as processes:
            run(options, processes)
    except Stopped:
        with contextlib.suppress(OSError):  # the terminal may be gone
            print("\nThe demo and everything it started has ended.")
        return 0
    except Problem as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    return 0


def run(options: Options, processes: Processes) -> None:
    python = sys.executable

    begin(1, "Ports")
    require_free_ports(options)
    *others, last = map(str, ports_of(options).values())
    done(f"{', '.join(others)} and {last} are free")

    begin(2, "Database")
    processes.complete([python, "manage.py", "migrate", "--verbosity=0"], DJANGO_PROJECT)
    reserve = f"--tensorboard-port={options.tensorboard_port}"
    done(processes.complete([python, "manage.py", "seed", reserve], DJANGO_PROJECT))

    begin(3, "Training logs")
    done(processes.complete([python, str(EXAMPLES / "sample_logs.py"), "logs"], options.data))

    begin(4, "TensorBoard")
    # The documented command has --bind_all, and works as well. On loopback it is the safer demo:
    # the proxy connects to 127.0.0.1, and on any other address TensorBoard would show to the whole
    # network what the project's page guards.
    tensorboard = [python, "-m", "tensorboard.main", "--logdir=./logs", "--host=127.0.0.1"]
    tensorboard += [f"--port={options.tensorboard_port}"]
    processes.serve("TensorBoard", tensorboard, options.data, options.tensorboard_port, "/")
    done(f"answers on port {options.tensorboard_port}")

    begin(5, "gunicorn")
    gunicorn = [python, "-m", "gunicorn", "--config", "../gunicorn/gunicorn.conf.py"]
    gunicorn += ["--bind", f"127.0.0.1:{options.port}", "workbench.wsgi:application"]
    gunicorn += ["--graceful-timeout", "1"]  # Ctrl-C is not to wait for pages that stream
    # The project's settings read it.
    os.environ["WORKBENCH_PORTS"] = f":{{port+{OFFSET}}}" if options.form == "port" else ""
    processes.serve("gunicorn", gunicorn, DJANGO_PROJECT, options.port, "/login/")
    done(f"answers on port {options.port}")

    print(what_to_do(options), flush=True)
    processes.watch()


def what_to_do(options: Options) -> str:
    site = f"http://localhost:{options.port}"
    opens = "\n"
    if options.form == "port":
        opens = f"""
TensorBoard then has an address of its own, http://localhost:{options.tensorboard_port + OFFSET}/
So has every service that you start on a port from {FIRST_PORT} to {LAST_PORT} and open like this.

"""
    return f"""
Ready. Open

    {site}/alice/vision/?port={options.tensorboard_port}

and sign in as

    alice   password alice-demo   who owns the project,
    carol   password carol-demo   who may view it and sees the same, or
    bob     password bob-demo     who may not: for him there is no such page.
{opens}The page of the project is {site}/alice/vision/
The log files and the database are in {shown(options.data)}/

Ctrl-C ends the demo."""


# --- Options, and checks before anything is started ----------------------------------------------


@dataclass(frozen=True)
class Options:
    port: int
    tensorboard_port: int
    form: str
    data: Path


def parse_options() -> Options:
    parser = argparse.ArgumentParser(
        description="Run the demo: a multi-user Django app with a TensorBoard behind it.",
        epilog="With make: make demo PORT=8001 TENSORBOARD_PORT=16007 FORM=path",
    )
    parser.add_argument(
        "--port", type=int, default=8000, metavar="N", help="port of the Django app (8000)"
    )
    parser.add_argument(
        "--tensorboard-port",
        type=int,
        default=16006,
        metavar="N",
        help=f"port of TensorBoard, from {FIRST_PORT} to {LAST_PORT} (16006)",
    )
    parser.add_argument(
        "--form",
        choices=("port", "path"),
        default="port",
        help=f"where services open: each at a port of the site of its own, {OFFSET} above the "
        "service's, or below the project's page (port)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=DJANGO_PROJECT / "data",
        metavar="FOLDER",
        help="folder for the database, the secret key and the logs (examples/django_project/data)",
    )
    given = parser.parse_args()
    if not 1 <= given.port <= 65535:
        parser.error(f"--port {given.port}: a port is a number from 1 to 65535")
    if not FIRST_PORT <= given.tensorboard_port <= LAST_PORT:
        parser.error(
            f"--tensorboard-port {given.tensorboard_port}: "
            f"the proxy opens ports from {FIRST_PORT} to {LAST_PORT}"
        )
    options = Options(given.port, given.tensorboard_port, given.form, given.data.resolve())
    numbers = ports_of(options)
    if len(set(numbers.values())) < len(numbers):
        parser.error(f"these must differ: {', '.join(map(str, numbers.values()))}")
    return options


def require_packages() -> None:
    needed = ["wsgi_portproxy", "django", "gunicorn", "tensorboard"]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise Problem(
            f"Not installed for {sys.executable}: {', '.join(missing)}.\n"
            "`make demo` installs everything into .venv, and then runs the demo."
        )


def ports_of(options: Options) -> dict[str, int]:
    """The ports that the demo listens on, by the option that chooses each."""
    chosen = {"port": options.port, "tensorboard-port": options.tensorboard_port}
    if options.form == "port":
        chosen["form"] = options.tensorboard_port + OFFSET
    return chosen


def require_free_ports(options: Options) -> None:
    chosen = ports_of(options)
    for option, port in chosen.items():
        if not is_free(port):
            if option == "form":
                raise Problem(
                    f"Port {port}, where TensorBoard is to open, is taken by another program. End "
                    "that program, or let it open below the project's page:\n"
                    "    make demo FORM=path\n"
                    "    python examples/demo.py --form path"
                )
            above = range(port + 1, 65536 if option == "port" else LAST_PORT + 1)
            free = next((n for n in above if n not in chosen.values() and is_free(n)), "NUMBER")
            raise Problem(
                f"Port {port} is taken by another program. End that program, or choose another "
                f"port:\n"
                f"    make demo {option.replace('-', '_').upper()}={free}\n"
                f"    python examples/demo.py --{option} {free}"
            )


def is_free(port: int) -> bool:
    """Whether the port can be listened on; on ::1 too, which browsers may try for localhost."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as sock:
                # As servers do: connections that ended a moment ago do not count.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((address, port))
        except PermissionError:
            raise Problem(f"Only root may listen on port {port}. Choose one above 1023.") from None
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            if family == socket.AF_INET:  # a machine without IPv6 is no problem
                raise Problem(f"Port {port} cannot be used: {error.strerror}.") from error
    return True


# --- Progress ------------------------------------------------------------------------------------


def begin(number: int, title: str) -> None:
    print(f"[{number}/5] {title + ' ':.<16} ", end="", flush=True)


def done(outcome: str) -> None:
    print(outcome, flush=True)


def shown(path: Path) -> str:
    """The path as seen from the current folder, if it is inside."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


# --- Processes -----------------------------------------------------------------------------------


class StopRequest:
    """Takes note of signals; `pause` raises `Stopped` for them.

    A handler that raised by itself could do so between the start of a process and the line that
    notes it down, and the process would be left behind.
    """

    def __init__(self) -> None:
        self._requested = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Ignored SIGHUP is nohup's: the demo is meant to outlive its terminal.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._requested = True

    def pause(self) -> None:
        if not self._requested:
            time.sleep(POLL_SECONDS)
        if self._requested:
            raise Stopped


@dataclass(frozen=True)
class Child:
    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def end_of_log(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return "\n".join(lines[-LOG_LINES:])


class Processes:
    """The processes of the demo. Leaving the `with` block ends all that run, in reverse order."""

    def __init__(self, data: Path, stop: StopRequest) -> None:
        self._data = data
        self._stop = stop
        self._children: list[Child] = []

    def __enter__(self) -> Processes:
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for child in reversed(self._children):
            end(child.process)

    def complete(self, command: list[str], folder: Path) -> str:
        """Run a command to its end; what it printed."""
        child = self._start(Path(command[1]).stem, command, folder)
        while child.process.poll() is None:
            self._stop.pause()
        if child.process.returncode != 0:
            raise Problem(f"{' '.join(command)} failed:\n\n{child.end_of_log()}")
        return child.end_of_log()

    def serve(self, name: str, command: list[str], folder: Path, port: int, path: str) -> None:
        """Start a server and return once it answers a GET of `path`."""
        child = self._start(name, command, folder)
        deadline = time.monotonic() + START_SECONDS
        while not answers(port, path):
            self._require_running(child)
            if time.monotonic() > deadline:
                raise Problem(
                    f"{name} does not answer on port {port} after {START_SECONDS} seconds. "
                    f"The end of its log:\n\n{child.end_of_log()}"
                )
            self._stop.pause()

    def watch(self) -> None:
        """Return never: raises `Stopped` on Ctrl-C, and `Problem` when a server dies."""
        servers = [child for child in self._children if child.process.poll() is None]
        while True:
            for child in servers:
                self._require_running(child)
            self._stop.pause()

    def _start(self, name: str, command: list[str], folder: Path) -> Child:
        log = self._data / f"{name.lower()}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "WORKBENCH_DATA": str(self._data)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Its own group: Ctrl-C reaches the demo alone, which then ends the rest in order,
                # and what a child starts in turn (gunicorn's workers) can be ended with it.
                start_new_session=True,
            )
        self._children.append(Child(name, process, log))
        return self._children[-1]

    def _require_running(self, child: Child) -> None:
        if child.process.poll() is not None:
            raise Problem(
                f"{child.name} has ended by itself (status {child.process.returncode}). "
                f"The end of its log:\n\n{child.end_of_log()}"
            )


def answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and whatever it has started in turn, and wait until it is gone."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
    with contextlib.suppress(ProcessLookupError):  # the usual case: its group is empty
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


if __name__ == "__main__":
    sys.exit(main())
