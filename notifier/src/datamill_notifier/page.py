"""The live page: what is being built, what is there, what failed. Escaped, and from here alone."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape

from datamill_builder.catalog.views import DatasetView, PublicState
from datamill_notifier.documents import written_time

_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em; color: #222; background: #fff; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4em .8em; border-bottom: 1px solid #ddd; }
code { font-size: 13px; overflow-wrap: anywhere; }
details code { white-space: pre-wrap; }
.ready { color: #17692a; } .failed, .cancelled { color: #a11; } .building { color: #124f9c; }
small { color: #666; } progress { width: 8em; }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #181818; } th, td { border-color: #444; } small { color: #999; }
  a { color: #8ab4f8; } .ready { color: #6fcf83; } .failed, .cancelled { color: #f28b82; }
  .building { color: #8ab4f8; }
}
"""

# Each event makes the page fetch itself again, once a second at most; without events, as where a
# proxy holds them back, every ten seconds.
_SCRIPT = """
let due = null;
async function refresh() {
  due = null;
  try {
    const answer = await fetch(location.href);
    if (!answer.ok) throw answer.status;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const open = new Set([...document.querySelectorAll("details[open]")].map(d => d.id));
    page.querySelectorAll("details").forEach(d => { d.open = open.has(d.id); });
    const main = page.querySelector("main");
    if (!main) throw "another page";
    document.querySelector("main").replaceWith(main);
    document.querySelector("#stale").hidden = true;
  } catch { document.querySelector("#stale").hidden = false; }
}
const soon = () => { due ??= setTimeout(refresh, 1000); };
const events = new EventSource("events");
for (const kind of ["accepted", "planned", "shard", "progress", "ready", "failed", "evicted"])
  events.addEventListener(kind, soon);
setInterval(soon, 10000);
"""


def _source_hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "connect-src 'self'",
        "img-src 'self' data:",
        f"script-src {_source_hash(_SCRIPT)}",
        f"style-src {_source_hash(_STYLE)}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
"""What a browser may do with the page: nothing beyond this server, no script but its own."""


def render(views: list[DatasetView], *, broker_connected: bool) -> str:
    """Return the page for datasets, newest first. Links are relative: a prefix may be before."""
    rows = "\n".join(_row(view) for view in views)
    nothing = "" if views else "<p>Nobody has asked for a dataset yet.</p>"
    broker = "" if broker_connected else "<p class=failed>The broker is away; files are served.</p>"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Datamill</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
<noscript><meta http-equiv="refresh" content="5"></noscript>
</head>
<body>
<h1>Datamill</h1>
<p id="stale" class="failed" hidden>The server can't be reached; what is shown is old.</p>
<main>
{broker}{nothing}
<table>
<thead><tr><th>dataset</th><th>state</th><th>shards</th><th>records</th><th>waiting</th>
<th>asked</th><th></th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</main>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _row(view: DatasetView) -> str:
    dataset = view.dataset
    return (
        f"<tr><td>{_name(view)}</td>"
        f"<td>{_state(view)}</td>"
        f"<td>{_shards(view)}</td>"
        f"<td>{view.records_done:,}</td>"
        f"<td>{dataset.waiting}</td>"
        f"<td>{escape(_moment(dataset.created_at))}<br><small>{_times(view.requests)}</small></td>"
        f"<td>{_links(view)}</td></tr>"
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _name(view: DatasetView) -> str:
    dataset = view.dataset
    config = json.dumps(json.loads(dataset.config), indent=1, ensure_ascii=False)
    short = escape(view.dataset_id[:12])
    return (
        f"<b>{escape(dataset.dataset_name)}</b> {escape(dataset.handler_version)} "
        f'<a href="datasets/{escape(view.dataset_id)}"><code>{short}</code></a>'
        f'<details id="d{short}"><summary><small>config</small></summary>'
        f"<code>{escape(config)}</code></details>"
    )


def _state(view: DatasetView) -> str:
    failed = view.failed()
    why = f"<br><small>{escape(failed.reason)}: {escape(failed.message)}</small>" if failed else ""
    return f'<span class="{escape(view.state)}">{escape(view.state)}</span>{why}'


def _shards(view: DatasetView) -> str:
    total = view.build.shards if view.build else None
    if total is None:
        return ""
    counted = f"{view.shards_done} / {total}"
    if view.state is not PublicState.BUILDING:
        return counted
    return f'<progress value="{view.shards_done}" max="{total}"></progress> {counted}'


def _links(view: DatasetView) -> str:
    if view.state is not PublicState.READY or view.build is None:
        return ""
    base = f"datasets/{escape(view.dataset_id)}"
    megabytes = f"{view.build.bytes / 1e6:,.1f} MB"
    return (
        f'<a href="{base}/preview.jpg">preview</a> · <a href="{base}/manifest.json">manifest</a> · '
        f'<a href="datasets/{escape(view.build.archive)}">archive</a> <small>{megabytes}</small>'
    )


def _moment(secs: float) -> str:
    return (written_time(secs) or "")[:19].replace("T", " ") + " UTC"
