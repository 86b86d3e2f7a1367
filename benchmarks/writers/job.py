"""What each writer is started with: a folder of photographs, a target, a number of processes."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import cv2

from benchmarks.photographs import published_example

Labelled = tuple[Path, int]


@dataclass(frozen=True)
class Job:
    """Photographs and where they have to go."""

    photographs: list[Labelled]
    target: Path
    processes: int

    def share(self, number: int) -> list[Labelled]:
        """Return what process `number` has to do."""
        return self.photographs[number :: self.processes]


def labelled(folder: Path) -> list[Labelled]:
    """Return the photographs of a folder of classes, each with its class's number."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    return [
        (path, label) for label, each in enumerate(classes) for path in sorted(each.glob("*.jpg"))
    ]


def encoded(path: Path) -> bytes:
    """Return the JPEG that is to be stored. One thread: there is a process for every core."""
    cv2.setNumThreads(1)
    return published_example(path)


def in_processes(write_share: Callable[[Job, int], None], job: Job) -> None:
    """Let a process write each share: forked, so that what is imported is imported once."""
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=write_share, args=(job, number)) for number in range(job.processes)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode:
            sys.exit(f"a process ended with {process.exitcode}")


def run(write: Callable[[Job], None], count: Callable[[Path], int]) -> NoReturn:
    """Write as the command line says, or print how many records a target has."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target", type=Path)
    parser.add_argument("--photographs", type=Path, help="without: count the target's records")
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.photographs:
        write(Job(labelled(arguments.photographs), arguments.target, arguments.processes))
    else:
        print(count(arguments.target))
    sys.exit()
