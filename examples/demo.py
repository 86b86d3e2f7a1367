"""The demo: three trainings ask for one dataset at the same moment, and one build happens.

`make demo` runs it. What it makes stays in `.demo/`, so that the next one is answered from what
is there; `make demo FRESH=1` starts anew.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo_raw_data import write_raw_data
from demo_service import DATAMILL, DemoFailed, Service, build_secs, without_settings
from demo_trainers import results, trainers

CHECKOUT = Path(__file__).resolve().parents[1]
LEAST_ACCURACY = 0.9
"""The digits are easy: less means that images and labels do not belong together."""

SETTINGS = """\
# Two more dataset names, beside those that handlers bring: which handler, and by default the
# folder of the same name below the raw root.
[datasets.digits]
handler = "classification"

[datasets.photographs]
handler = "classification"
"""

DIGITS = {
    "image_size": [24, 24],
    "crop_size": [22, 22],
    "random_crop_centered": True,
    "channels": 1,
    "rotate_degrees": 10,
    "brightness": 0.2,
    "variations_per_sample": 3,
    "validation_share": 0.2,
}
PHOTOGRAPHS = {
    "image_size": [288, 384],
    "crop_size": [256, 256],
    "random_crop_centered": True,
    "rotate_degrees": 20,
    "flip_probability": 0.5,
    "brightness": 0.4,
    "variations_per_sample": 4,
    "max_items": 6,
}


@dataclass(frozen=True)
class Shown:
    """What the three trainings showed."""

    reports: list[dict[str, Any]]
    builds: int
    dataset: dict[str, Any]


def main() -> int:
    arguments = parsed_arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # all end as Ctrl-C does
    try:
        run(arguments.home.absolute(), arguments.trainers, fresh=arguments.fresh)
    except KeyboardInterrupt:
        print("\nstopped; everything that ran has ended", flush=True)
        return 130
    except DemoFailed as failed:
        print(f"\nThe demo failed: {failed}", file=sys.stderr)
        return 1
    return 0


def run(home: Path, trainings: int, *, fresh: bool) -> None:
    began = time.monotonic()
    if fresh:
        shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True, exist_ok=True)
    (home / "datamill.toml").write_text(SETTINGS)
    environment = without_settings() | {"DATAMILL_HOME": str(home)}
    # This process asks as well, like the trainers.
    os.environ.update({"DATAMILL_HOME": str(home), "DATAMILL_CACHE": str(home / "cache")})

    step(f"Raw data in {shown(home / 'raw')}: scikit-learn's digits, scikit-image's photographs")
    write_raw_data(home / "raw")
    up_began = time.monotonic()
    step("`datamill up`: a private RabbitMQ, a builder and a notifier on this machine")
    with Service(home, environment) as service:
        say(f"up after {time.monotonic() - up_began:.1f} s, at {service.http_url}")
        digits = show_trainings(service, home, environment, trainings)
        answers_ms = show_asking_again(service)
        sample = show_sample(home, environment)
        sheets = {name: home / f"contact-sheet-{name}.jpg" for name in ("digits", "photographs")}
        sheets["digits"].write_bytes(service.contact_sheet(digits.dataset["dataset_id"]))
        sheets["photographs"].write_bytes(service.contact_sheet(sample))
    check(digits)
    summarise(digits, answers_ms, time.monotonic() - began)
    point_at(home, sheets)


def show_trainings(
    service: Service, home: Path, environment: Mapping[str, str], trainings: int
) -> Shown:
    step(f"{trainings} trainings ask for the same dataset at the same moment, each on its own")
    say("(a cache each, as on a machine each: so each downloads, and verifies what it got)")
    names = [f"trainer-{number}" for number in range(1, trainings + 1)]
    arguments = ["digits", "--config", json.dumps(DIGITS)]
    builds_before = service.builds()
    with trainers(names, home, environment, arguments) as started:
        reports = results(started)
    dataset = service.dataset(reports[0]["dataset_id"])
    return Shown(reports, service.builds() - builds_before, dataset)


def show_asking_again(service: Service) -> list[float]:
    """Ask for what is there, twice; return after how many milliseconds the answers came."""
    import datamill
    from datamill.sessions import close_sessions

    step("Asked again by another process: answered from what is there")
    builds_before = service.builds()
    answers_ms = []
    for connection in ("connecting included", "connected already"):
        began = time.perf_counter()
        dataset = datamill.request_dataset("digits", "1.0.0", DIGITS)
        *_, answer = dataset.events()
        answers_ms.append(1000 * (time.perf_counter() - began))
        say(f"{answer.event} after {answers_ms[-1]:.0f} ms ({connection})")
    close_sessions()  # the service stops before this process does
    if service.builds() != builds_before:
        raise DemoFailed("asking again for a dataset that is there built it again")
    return answers_ms


def show_sample(home: Path, environment: Mapping[str, str]) -> str:
    """Ask for a few records of other options, by the shell; return the dataset id."""
    step("A sample of a few photographs, to look at options before a long build is asked for")
    command = ["datamill", "request", "photographs", "1.0.0", "--wait"]
    command += ["--config", json.dumps(PHOTOGRAPHS)]
    say(f"$ {shlex.join(command)}")
    done = subprocess.run(
        [DATAMILL, *command[1:]],
        env={**environment, "DATAMILL_CACHE": str(home / "cache")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DemoFailed(f"`datamill request` ended with {done.returncode}: {done.stderr}")
    dataset_id, folder = done.stdout.split()
    say(dataset_id)
    say(shown(Path(folder)))
    return dataset_id


def check(digits: Shown) -> None:
    """Raise `DemoFailed` if the trainings did not show what they are there to show."""
    reports = digits.reports
    built_now = not all(report["cached"] for report in reports)
    if digits.builds != built_now:
        raise DemoFailed(f"{digits.builds} builds where {int(built_now)} was to be expected")
    if len({report["sha256"] for report in reports}) != 1:
        raise DemoFailed("the trainers did not get the same bytes")
    worst = min(report["accuracy"] for report in reports)
    if worst < LEAST_ACCURACY:
        raise DemoFailed(f"accuracy {worst:.1%}, where {LEAST_ACCURACY:.0%} is easy")


def summarise(digits: Shown, answers_ms: list[float], secs: float) -> None:
    reports, dataset = digits.reports, digits.dataset
    megabytes = dataset["bytes"] / 1e6
    built = f"{digits.builds}, as the service counts"
    if digits.builds == 0:
        built = "0: an earlier demo's is there (make demo FRESH=1 starts anew)"
    step("What happened")
    table(
        {
            "asked": f"{len(reports)} trainings at the same moment",
            "builds": built,
            "dataset": f"{dataset['records']} records in {dataset['shards']} shards, "
            f"{megabytes:.1f} MB, built in {build_secs(dataset):.1f} s",
            "downloads": downloaded(reports),
            "waited": listed(reports, "wait_secs", "{:.1f} s"),
            "trained": listed(reports, "train_secs", "{:.1f} s"),
            "accuracy": listed(reports, "accuracy", "{:.1%}") + " on validation data",
            "asked again": f"answered in {answers_ms[-1]:.0f} ms, nothing built",
            "in all": f"{secs:.0f} s; the service has stopped again",
        }
    )


def point_at(home: Path, sheets: Mapping[str, Path]) -> None:
    step("Look at")
    table(
        {
            shown(sheets["digits"]): "what they trained on",
            shown(sheets["photographs"]): "the sample",
            shown(home / "service.log"): "what the service said",
        }
    )
    step("Try next")
    table(
        {
            "make demo": "again: nothing has to be built",
            f"DATAMILL_HOME={shown(home)} .venv/bin/datamill up": "and open its address",
            "less README.md": "a tour, and how to write a handler",
        }
    )
    print()


def table(rows: Mapping[str, str]) -> None:
    width = max(len(name) for name in rows)
    for name, text in rows.items():
        say(f"{name:<{width}}  {text}")


def downloaded(reports: list[dict[str, Any]]) -> str:
    number = sum(report["fetched"] for report in reports)
    if number == 0:
        return "0: their caches have it; the same bytes in all"
    return f"{number}, each verified; the same bytes in all"


def listed(reports: list[dict[str, Any]], name: str, pattern: str) -> str:
    return ", ".join(pattern.format(report[name]) for report in reports)


def shown(path: Path) -> str:
    """Return a path as one would type it in the checkout."""
    return str(path.relative_to(CHECKOUT) if path.is_relative_to(CHECKOUT) else path)


def step(text: str) -> None:
    print(f"\n* {text}", flush=True)


def say(text: str) -> None:
    print(f"  {text}", flush=True)


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Three trainings, one build.")
    parser.add_argument(
        "--home", type=Path, default=CHECKOUT / ".demo", help="its folder (default: .demo)"
    )
    parser.add_argument("--trainers", type=int, default=3, help="how many trainings (default: 3)")
    parser.add_argument(
        "--fresh",
        action="store_true",
        default=os.environ.get("FRESH", "") not in ("", "0"),
        help="empty the folder first (as does FRESH=1 in the environment)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
