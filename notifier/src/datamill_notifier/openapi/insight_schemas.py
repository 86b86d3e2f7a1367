"""Schemas of what is told of the service as a whole, and of datasets looked at closer."""

from __future__ import annotations

from datamill_builder.catalog.holdings import Kind, Stays
from datamill_notifier.dataset_details import PROVENANCE
from datamill_notifier.openapi.operations import Document, ref
from datamill_notifier.openapi.schemas import (
    CONFIG,
    DATASET_ID,
    STATE_OF_DATASET,
    SUMMARY,
    USE,
    amount,
    count,
    flag,
    many,
    maybe,
    record,
    text,
    time,
)

_SAVING: dict[str, Document] = {
    "requests": count("Accepted requests."),
    "builds": count("How often it was built."),
    "build_secs": amount("What these builds took of workers."),
    "saved_secs": amount("What sharing saved of that."),
    "sent_bytes": count("What went out."),
    "saved_bytes": count("What clients had in their caches."),
}

_UNDER_WAY = record(
    "A dataset that is built or waits.",
    **SUMMARY,
    why=maybe(text("Why nothing can be seen of it yet.")),
    shards_in_hand=count(),
    records_estimate=maybe(count()),
    records_per_sec=maybe(amount()),
    secs_left=maybe(amount()),
    started_at=maybe(time()),
)
_FAILED = record("A dataset that failed.", **SUMMARY, reason=text(), message=text())

_BUILDER = record(
    name=text(),
    host=text(),
    workers=count(),
    version=text(),
    started_at=time(),
    seen_at=time("Its last sign of life."),
    alive=flag(),
)

_KIND = text(enum=[kind.value for kind in Kind])
_HELD: dict[str, Document] = {
    "content_key": text(),
    "dataset_ids": many(DATASET_ID),
    "dataset_name": text(),
    "what": _KIND,
    "archive": maybe(text()),
    "bytes": count(),
    "idle_secs": amount("Since it was made, asked for or fetched last."),
    "build_secs": amount(),
    "score": amount("What goes first has the highest."),
}
_WHY = text(enum=[why.value for why in Stays])
_FILE = record("A file below the store's folder.", path=text(), bytes=count())

_ANYTHING: Document = {"description": "Any JSON."}
_OPTION = record(
    "An option.",
    {"default": {**_ANYTHING, "description": "Left out where it is not known."}},
    name=text(),
    value=_ANYTHING,
    given=flag("Whether the request has it."),
    changed=flag("Whether it is not the default."),
)
_PROVENANCE = record(
    "What it is made from.",
    **{name: maybe(text()) for name in PROVENANCE},
    interpreter=maybe(text()),
    packages={"type": "object", "additionalProperties": text(), "description": "Versions."},
)
_SPLIT = record(split=text(), shards=count(), shards_done=count(), records=count(), bytes=count())
_SKIPPED = record(
    "Source items that were left out.",
    count=count(),
    items=many(record(key=text(), reason=text()), "The first of them."),
)
_TIMES = record(
    asked_first_at=time(),
    asked_last_at=time(),
    build_started_at=maybe(time()),
    build_ended_at=maybe(time()),
    build_secs=maybe(amount()),
    shard_secs=maybe(amount("Of workers, all shards together.")),
)
_LINKS = record(
    "Addresses; those that lead nowhere yet are left out.",
    {name: text(format="uri") for name in ("archive", "manifest", "preview")}
    | {"shards": text("With `{index}` in it.")},
    state=text(format="uri"),
    events=text(format="uri"),
)

INSIGHTS: dict[str, Document] = {
    "Saving": record("What sharing saved.", **_SAVING),
    "Usage": record(
        "How a build is used, by whatever ids.",
        **_SAVING,
        downloads=count(),
        last_used_at=maybe(time()),
    ),
    "Difference": record(
        "One thing that differs; a side that has no value is left out.",
        {"before": {}, "after": {}},
        kind=text(),
        name=text(),
        text=text("Both in words."),
    ),
    "Near": record(
        "The finished dataset that differs least.",
        dataset_id=DATASET_ID,
        handler_version=text(),
        dataset_config=CONFIG,
        differences=many(ref("Difference")),
        text=text("All of them in words."),
    ),
    "NearAnswer": record(near=maybe(ref("Near"))),
    "Compared": record(
        "One of two.",
        dataset_id=maybe(DATASET_ID),
        dataset_name=text(),
        handler_version=text(),
        dataset_config=CONFIG,
        content_key=maybe(text()),
        resolved=maybe(CONFIG),
    ),
    "Comparison": record(
        a=ref("Compared"),
        b=ref("Compared"),
        verdict=text(enum=["same_request", "same_data", "different", "not_known"]),
        text=text("In words."),
        differences=many(ref("Difference")),
    ),
    "Details": record(
        "Everything about one dataset.",
        **{name: schema for name, schema in STATE_OF_DATASET.items() if name != "near"},
        **USE,
        options=maybe(many(_OPTION, "The resolved config.")),
        provenance=maybe(_PROVENANCE),
        splits=many(_SPLIT),
        skipped=_SKIPPED,
        aliases=many(DATASET_ID, "Other ids of the same content."),
        times=_TIMES,
        links=_LINKS,
        python=text("What gets it in a training script."),
    ),
    "Ids": record(
        datasets=many(record(dataset_id=DATASET_ID, content_key=maybe(text()))),
        contents=many(
            record(
                "What is built or was; no dataset id stands for it where raw data changed.",
                content_key=text(),
                dataset_ids=many(DATASET_ID),
            )
        ),
    ),
    "Overview": record(
        "The service as a whole.",
        time=time(),
        broker_connected=flag(),
        trouble=maybe(text("What is wrong with a disk.")),
        building=many(_UNDER_WAY),
        queued=many(_UNDER_WAY),
        ready=many(ref("Summary"), "The latest."),
        failed=many(_FAILED, "The latest."),
        builders=many(_BUILDER),
        requests=count(),
        datasets_ready=count(),
        downloads_in_progress=count(),
        store=record(bytes=count(), budget_bytes=maybe(count()), free_bytes=count()),
    ),
    "Pinned": record(
        dataset_id=text(), content_key=text(), pinned=flag(), changed=flag("Whether it was not so.")
    ),
    "Gone": record(
        dataset_id=text(), content_key=text(), what=_KIND, archive=maybe(text()), bytes=count()
    ),
    "Tidied": record(
        dry_run=flag(),
        budget_bytes=maybe(count()),
        held_bytes=count(),
        left_bytes=count(),
        over_bytes=count("What is still too much."),
        gone=many(record("Something in the store.", **_HELD)),
        stay=many(record("Something that stays.", **_HELD, why=_WHY)),
        strays=many(_FILE),
        quarantined=many(_FILE),
    ),
}
