"""The command in this process and in one of its own, and plugins that are installed for one test."""

from __future__ import annotations

import io
import json
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from galaxy_core_cli.main import main

from .asking import TIMEOUT_S, Done, Galaxy, Install, Write, in_a_process
from .reached import PLAN, Run, Start


@pytest.fixture(autouse=True, scope="session")
def usual_signals() -> Iterator[None]:
    """Have children begin with the usual signals, even where these tests are a job in the background.

    What is ignored is inherited; what is handled, if only by doing nothing, begins anew in a child.
    """
    if sys.platform == "win32":
        yield
        return
    ignored = [
        number
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
        if signal.getsignal(number) is signal.SIG_IGN
    ]
    for number in ignored:
        signal.signal(number, lambda *_: None)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where control sockets are; pytest's own folders have paths that are too long for them."""
    with TemporaryDirectory(prefix="g") as place:
        monkeypatch.setenv("XDG_RUNTIME_DIR", place)
        yield Path(place)


@pytest.fixture(autouse=True)
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runs are kept; not there yet."""
    place = tmp_path / "journal"
    monkeypatch.setenv("GALAXY_JOURNAL", str(place))
    return place


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.delenv("GALAXY_DEVICES", raising=False)
    return place


@pytest.fixture
def galaxy(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Galaxy:
    """``galaxy("run", "plan.yaml")``, in this process: ten times as cheap as in one of its own."""

    def run(*arguments: str, stdin: str | bytes = "") -> Done:
        capsys.readouterr()
        raw = stdin.encode() if isinstance(stdin, str) else stdin
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8"))
            code = main(arguments)
        written = capsys.readouterr()
        return Done(code, written.out, written.err)

    return run


@pytest.fixture
def process(folder: Path) -> Galaxy:
    """``process("run", "plan.yaml")``, in a process of its own."""

    return in_a_process


@pytest.fixture
def write(folder: Path) -> Write:
    """Puts a text, its common indentation removed, into a file of the current folder."""

    def put(name: str, text: str) -> Path:
        path = folder / name
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    return put


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a plugin ``name`` with this code, as distribution ``test-name``, for one test; where it was put."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))

    def put(name: str, code: str) -> Path:
        (site / f"test_{name}.py").write_text(textwrap.dedent(code), encoding="utf-8")
        info = site / f"test_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: test-{name}\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[galaxy_core]\n{name} = test_{name}\n", encoding="utf-8")
        monkeypatch.delitem(sys.modules, f"test_{name}", raising=False)
        return site

    return put


@pytest.fixture
def start(folder: Path, write: Write) -> Iterator[Start]:
    """Starts a run and waits until its task `wait` runs."""
    found: list[Run] = []
    write("plan.yaml", PLAN)

    def begin(*arguments: str) -> Run:
        run = Run(folder, *arguments)
        found.append(run)
        run.until(type="task_started", task="wait")
        return run

    yield begin
    for run in found:
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGINT)
            run.process.communicate(timeout=TIMEOUT_S)


@pytest.fixture(scope="session")
def run_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run whose task `wait` runs while there are tests; of a folder, a journal and control sockets of its own."""
    place = tmp_path_factory.mktemp("standing")
    (place / "plan.yaml").write_text(textwrap.dedent(PLAN), encoding="utf-8")
    with TemporaryDirectory(prefix="g") as sockets, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", sockets)
        patch.setenv("GALAXY_JOURNAL", str(place / "journal"))
        patch.chdir(place)
        run = Run(place)
        run.until(type="task_started", task="wait")
        patch.undo()
        yield run
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGINT)
        run.process.communicate(timeout=TIMEOUT_S)


@pytest.fixture
def standing(folder: Path, run_of_all: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose task `wait` runs, for tests that change nothing of it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", run_of_all.runtime)
    monkeypatch.setenv("GALAXY_JOURNAL", str(run_of_all.folder / "journal"))
    return run_of_all


@pytest.fixture
def transaction(write: Write) -> Callable[[object], str]:
    """Writes a transaction to a file; its name."""

    def put(document: object) -> str:
        write("edit.json", json.dumps(document))
        return "edit.json"

    return put
