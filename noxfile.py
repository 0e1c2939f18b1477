"""Sessions: `nox -s bench -- --decoder NAME`, `nox -s gate`, `tests`, `lint`. Needs only `pip install 'nox[uv]'`."""

import sys

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests", "lint"]


def _install(session: nox.Session, *groups: str) -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - nox itself runs on older ones
        session.error(f"decoder-bench needs Python 3.11 or newer; this nox runs on {sys.version.split()[0]}")
    project = nox.project.load_toml("pyproject.toml")
    extra = [name for group in groups for name in nox.project.dependency_groups(project, group)]
    session.install("-q", "-c", "constraints.txt", "-e", ".", *extra)


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmark, which ends with a report; everything behind `--` is passed on."""
    _install(session)
    words = list(session.posargs)
    if words and words[0].startswith("-") and words[0] not in ("-h", "--help", "--version"):
        words.insert(0, "run")  # options alone are those of `run`
    if words[:1] == ["run"]:
        words.insert(1, "--report=true")
    session.run("python", "-m", "bench", *words)


@nox.session
def report(session: nox.Session) -> None:
    """Write the report of finished runs, by default of the newest; everything behind `--` is passed on."""
    _install(session)
    session.run("python", "-m", "bench", "report", *session.posargs)


@nox.session
def gpu(session: nox.Session) -> None:
    """Time the paper's sizes on a GPU and keep the records in results/gpu; arguments go to `sweep gpu`."""
    _install(session)
    session.install("-q", "-c", "constraints.txt", "nvidia-ml-py")
    session.run("python", "-m", "bench", "sweep", "gpu", *session.posargs)


@nox.session
def train(session: nox.Session) -> None:
    """Train a decoder, the encoder that decoders share, or a codec; everything behind `--` is passed on."""
    _install(session)
    session.run("python", "-m", "bench", "train", *session.posargs)


@nox.session
def gate(session: nox.Session) -> None:
    """Judge the decoders against their baselines; everything behind `--` is passed on. "Cannot tell" is no failure."""
    _install(session)
    session.run("python", "-m", "bench", "gate", *session.posargs, env={"OMP_NUM_THREADS": "1"}, success_codes=[0, 3])


@nox.session
def tests(session: nox.Session) -> None:
    """Run the test suite; arguments behind `--` go to pytest."""
    _install(session, "tests")
    session.run("pytest", "-n", "auto", "--maxprocesses", "8", *session.posargs, env={"OMP_NUM_THREADS": "1"})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style (ruff) and types (mypy, strict)."""
    _install(session, "tests", "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
