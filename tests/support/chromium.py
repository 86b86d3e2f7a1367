"""A Chromium for tests: the system's, else the distribution's packages, without installing them.

As RabbitMQ is provided: `apt-get` fetches them, `dpkg` unpacks them into the user's cache, nothing
needs root and the system stays as it is.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from datamill_producer.rabbitmq.apt import Apt
from datamill_producer.rabbitmq.errors import CHOICES, NoRabbitMQ

SETTING = "DATAMILL_TEST_CHROMIUM"
"""Names the program to use; nothing else is looked at then."""

PROGRAMS = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)
PACKAGE = "chromium-headless-shell"
FONT = "fonts-dejavu-core"
# All libraries, as a bare system has none of them; but not those that every program here runs with.
NEEDED = re.compile(r"chromium-common$|zlib1g$|lib(?!c6$|gcc-s1$|stdc\+\+6$|c-bin$)")

_COMPLETE = "complete"
_TRY_SECS = 60.0
_PAGE = "data:text/html,<p>it runs</p>"
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
<dir>/usr/share/fonts</dir><dir>{fonts}</dir><cachedir>{cache}</cachedir>
<alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
<match target="pattern"><edit name="family" mode="append_last"><string>DejaVu Sans</string></edit>
</match>
</fontconfig>
"""


class NoChromium(Exception):
    """There is no Chromium, and none can be fetched."""


@dataclass(frozen=True)
class Chromium:
    """A program that runs here, and what its environment needs beside the usual."""

    program: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def whole_environment(self) -> dict[str, str]:
        return {**os.environ, **self.environment}

    def complaint(self) -> str | None:
        """Return why it shows no page here; None where it does."""
        command = [self.program, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", _PAGE]
        with tempfile.TemporaryDirectory() as profile:
            try:
                done = subprocess.run(
                    [*command, f"--user-data-dir={profile}"],
                    env=self.whole_environment,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=_TRY_SECS,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                return str(error)
        if "it runs" in done.stdout:
            return None
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {done.returncode}"


def ensure_chromium(log: Callable[[str], None]) -> Chromium:
    """Return one that runs here, fetching it where needed; raise `NoChromium`."""
    if named := os.environ.get(SETTING):
        return _that_runs(Chromium(Path(named)))
    for name in PROGRAMS:
        if (found := shutil.which(name)) and Chromium(Path(found)).complaint() is None:
            return Chromium(Path(found))
    if not all(shutil.which(tool) for tool in ("apt-get", "dpkg")):
        raise NoChromium(f"there is none here, and no apt-get to fetch one with; or set {SETTING}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute()
    folder = cache / "datamill-tools" / "chromium"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another process may fetch it just now
            root = folder / "root"
            if not (root / _COMPLETE).exists():
                log(f"Fetching Chromium's packages (about 100 MB) into {folder}")
                _fetch(root)
            return _unpacked(root)
    except (NoRabbitMQ, OSError) as error:
        reason = str(error).removesuffix(f": {CHOICES}")
        raise NoChromium(f"Chromium can't be fetched: {reason}") from error


def _fetch(root: Path) -> None:
    """Make `root`, which is whole and tried afterwards, or not there."""
    shutil.rmtree(root, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix="unpack-") as name:
        work, unpacking = Path(name), Path(name, "root")
        unpacking.mkdir()
        apt = Apt(work, os.environ)
        apt.update()
        apt.download([*apt.with_dependencies(PACKAGE, NEEDED), FONT])
        apt.unpack(unpacking)
        unpacking.rename(root)
    fonts = _FONTS.format(fonts=root / "usr/share/fonts", cache=root / "font-cache")
    (root / "fonts.conf").write_text(fonts, encoding="utf-8")
    _that_runs(_unpacked(root))
    (root / _COMPLETE).touch()


def _unpacked(root: Path) -> Chromium:
    # Not what is in /usr/bin: that is a script, which looks for the rest in its usual place.
    program = next((root / "usr/lib/chromium").glob("*headless*shell"), None)
    if program is None:
        raise NoChromium(f"the package {PACKAGE} holds no program that is known")
    below = (*root.glob("usr/lib/*-linux-gnu*"), *root.glob("lib/*-linux-gnu*"))
    libraries = [folder for each in below for folder in (each, each / "pulseaudio")]
    known = [str(folder) for folder in libraries if folder.is_dir()]
    environment = {
        "LD_LIBRARY_PATH": os.pathsep.join(known),
        "FONTCONFIG_FILE": str(root / "fonts.conf"),
    }
    return Chromium(program, environment)


def _that_runs(chromium: Chromium) -> Chromium:
    if complaint := chromium.complaint():
        raise NoChromium(f"{chromium.program} does not run here: {complaint}")
    return chromium
