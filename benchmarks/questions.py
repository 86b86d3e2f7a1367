"""What is measured, in the order of the report."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

RESULTS = Path(__file__).resolve().parents[1] / ".cache" / "benchmarks"
"""The figures of each question, as JSON."""


class Question(NamedTuple):
    """A question: a module of this package."""

    name: str
    title: str
    shortfall: str = ""
    """Why a limit is not reached, as far as profiles tell, and what was tried."""


QUESTIONS = (
    Question(
        "building",
        "A build, beside the transform alone",
        "On one core a record takes the loop 4.4 ms and the handler 5.3 ms, of which 4.7 are "
        "OpenCV's; the rest is colour profiles (the loop leaves colours as they are), random "
        "numbers, framing, opening and writing. The builder adds 0.6 ms: two SHA-256 of every "
        "byte (of the shard, of the archive), the checksums of records and of the zip, copying "
        "into the archive. With both cores busy that is 4.4 of 5.9 ms, 0.75 at best. Start and end "
        "are 0.2 s in all. Tried and kept: archives that grow beside their shards, one "
        "reading per shard instead of three, Examples framed without copies, headers of "
        "plain JPEGs read without Pillow, shards synced while they are read.",
    ),
    Question(
        "peers",
        "A build, beside other writers of datasets",
        "The transform takes most of the time in all of them: on two cores no system "
        "can be 2 times as fast as WebDataset without PyTorch, which starts in a "
        "fraction of a second and neither hashes nor syncs what it writes (the notes "
        "have what the transform alone comes to). What Datamill adds is told under the "
        "first heading.",
    ),
    Question("highres", "Small outputs from large photographs"),
    Question("growth", "How the cost of a build grows"),
    Question(
        "build_start",
        "From a request to the first shard",
        "From run to run 0.26 to 0.52 s. With one worker instead of two it is 0.19 s: the second "
        "shard is made at the same time, on the same two cores, while the peer makes its one "
        "alone on an idle machine. Tried and kept: processes that have imported the handler "
        "already, planning without a second listing, tickets that go out with the plan.",
    ),
    Question(
        "first_batch",
        "From a cold request to the first batch",
        "Of 300,000 small photographs, listing, looking at each file's size and time "
        "(the version of the raw data) and ordering take longer than the first shard: "
        "about 10 µs a file. The content key needs the version before anything is "
        "built. Tried and kept: a version that is known again by one digest over all "
        "marks, planning at 4 µs an item.",
    ),
    Question("environments", "An environment for a new handler version"),
    Question(
        "hits",
        "A request for what is there",
        "A hit costs 0.8 ms of processor time in the builder beyond the broker's round "
        "trip, and three threads take turns at Python's lock. Tried and kept: the answer "
        "goes out before the catalog's sync to the disk, shorter turns (0.1 ms), "
        "statements that are put together once. Looking up dataset and build in one statement was "
        "not kept: on PostgreSQL it could miss that a build has just ended.",
    ),
    Question(
        "many_requests",
        "10,000 identical requests",
        "pika alone, in a process that does nothing but receive and acknowledge, takes "
        "twice as long as publishing; 20 µs a request go into the log, and the build "
        "itself takes its part of the two cores. Tried and kept: equal bytes are parsed "
        "once, a batch is one statement, more is received at a time, what came is "
        "gathered before a commit, requests without an id lie in order in the index.",
    ),
    Question("fan_out", "One answer to 1,000 clients"),
    Question("planning", "Planning 1,000,000 source items"),
    Question(
        "packing",
        "Packing an archive",
        "Where another builder made the shards, each is compared with its SHA-256, and "
        "the archive's is taken: two digests of every byte on two cores, while copying "
        "alone needs neither.",
    ),
    Question(
        "serving",
        "Serving an archive",
        "One client alone swings from 0.6 to 1.7 times from round to round: a gigabyte "
        "takes less than half a second.",
    ),
    Question(
        "downloading",
        "Downloading an archive",
        "A download is hashed and written to the disk while curl throws away what it "
        "gets: 0.6 s of SHA-256 and about as much of copying into files per gigabyte, "
        "beside the server on two cores. Tried and kept: hashing in a thread of its "
        "own, entries written as they come without a second copy, room reserved, "
        "buffers used again.",
    ),
    Question("four_trainers", "Four trainers on one host"),
    Question("first_batch_cached", "From a cached dataset to the first batch"),
    Question(
        "reading",
        "Reading a dataset",
        "The two are the same work, and swing around each other from round to round.",
    ),
    Question(
        "memory",
        "Memory",
        "All changes of colours at once are 2.8 images but for `recompress_quality`: OpenCV holds "
        "two while it decodes a JPEG, beside the source, kept for its next variation, and the "
        "picture in hand. Tried and kept: one copy takes all changes, blur goes by rows.",
    ),
)
