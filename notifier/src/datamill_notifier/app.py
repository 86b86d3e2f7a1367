"""All routes on one screen."""

from __future__ import annotations

from aiohttp import web

from datamill.request import MAX_MESSAGE_BYTES
from datamill_notifier import (
    admin_routes,
    dataset_routes,
    event_routes,
    health_routes,
    metrics_routes,
    request_routes,
    savings_routes,
)
from datamill_notifier.farewell import take_no_more
from datamill_notifier.live import routes as live_routes
from datamill_notifier.problems import answer_problems
from datamill_notifier.service import SERVICE, Service

_HEADERS = {
    "Server": "datamill",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def application(service: Service) -> web.Application:
    """Return the application that answers for a service."""
    app = web.Application(
        middlewares=[answer_problems, take_no_more, admin_routes.ask_for_token],
        client_max_size=MAX_MESSAGE_BYTES,
    )
    app[SERVICE] = service
    app.add_routes(dataset_routes.routes)  # /datasets…
    app.add_routes(request_routes.routes)  # POST /requests
    app.add_routes(event_routes.routes)  # /events
    app.add_routes(metrics_routes.routes)  # /metrics
    app.add_routes(health_routes.routes)  # /healthz, /readyz
    app.add_routes(savings_routes.routes)  # /savings
    app.add_routes(live_routes.routes)  # /, /page…
    app.add_routes(admin_routes.routes)  # /admin/…
    app.on_response_prepare.append(_add_headers)
    return app


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
