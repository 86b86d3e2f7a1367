"""Sources of another release, from what apt's configuration says: no host is written down here."""

from __future__ import annotations

import pytest

from datamill_producer.rabbitmq import NoRabbitMQ, releases
from datamill_producer.rabbitmq.releases import derive, sources_of

DEB822 = """\
# the distribution
Types: deb deb-src
# an older mirror
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/archive.gpg

Types: deb
URIs: http://mirror.test/debian-security
Suites: bookworm-security
Components: main
"""

ONE_LINE = """\
# deb http://off.test/debian bookworm main
deb-src http://mirror.test/debian bookworm main
deb [arch=amd64,arm64 signed-by=/etc/key.gpg] http://mirror.test/debian bookworm main contrib # us
deb http://mirror.test/debian bookworm-backports main
deb http://other.test/linux bookworm stable
"""


def test_a_deb822_source_keeps_mirror_and_key_and_gets_the_other_suite() -> None:
    assert derive([DEB822], ["bookworm"], "sid") == (
        "types: deb\n"
        "uris: http://mirror.test/debian\n"
        "suites: sid\n"
        "components: main\n"
        "signed-by: /usr/share/keyrings/archive.gpg\n"
    )


def test_a_one_line_source_keeps_its_options() -> None:
    assert derive([ONE_LINE], ["bookworm"], "trixie") == (
        "types: deb\n"
        "uris: http://mirror.test/debian\n"
        "suites: trixie\n"
        "components: main\n"
        "architectures: amd64 arm64\n"
        "signed-by: /etc/key.gpg\n"
    )


def test_several_mirrors_are_all_kept_apart() -> None:
    both = derive([DEB822, ONE_LINE.replace("mirror.", "second.")], ["bookworm"], "sid")

    first, second = both.split("\n\n")
    assert "uris: http://mirror.test/debian\n" in first
    assert "uris: http://second.test/debian\n" in second


def test_a_rolling_name_is_the_systems_own_too() -> None:
    text = ONE_LINE.replace("bookworm main", "stable main")

    assert "suites: sid\n" in derive([text], releases.ROLLING_NAMES, "sid")
    assert derive([text], ["bookworm"], "sid") == ""


def test_a_key_in_full_stays_whole() -> None:
    key = "\n -----BEGIN KEY-----\n .\n mQENB\n -----END KEY-----"
    text = DEB822.replace(" /usr/share/keyrings/archive.gpg", key)

    assert f"signed-by: {key}\n" in derive([text], ["bookworm"], "sid")


@pytest.mark.parametrize("off", ["Enabled: no", "enabled: False"])
def test_what_is_switched_off_is_left_out(off: str) -> None:
    assert derive([f"{off}\n{DEB822}"], ["bookworm"], "sid") == ""


@pytest.mark.parametrize("name", ["Fedora Linux 43", None])
def test_a_system_without_debians_packages_is_told_so_in_one_line(
    name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def freedesktop_os_release() -> dict[str, str]:
        if name is None:
            raise OSError("no os-release file")
        return {"ID": "fedora", "PRETTY_NAME": name}

    monkeypatch.setattr(releases.platform, "freedesktop_os_release", freedesktop_os_release)

    with pytest.raises(
        NoRabbitMQ, match=f"need Debian or Ubuntu, and this is {name or ''}"
    ) as told:
        sources_of("sid")
    assert "\n" not in str(told.value)
