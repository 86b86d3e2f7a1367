"""All routes on one screen."""

from __future__ import annotations

from aiohttp import web

from datamill.request import MAX_MESSAGE_BYTES
from datamill_notifier import (
    admin_routes,
    compare_routes,
    counted,
    dataset_details_routes,
    dataset_routes,
    event_routes,
    health_routes,
    id_routes,
    keeping_routes,
    metrics_routes,
    openapi_routes,
    overview_routes,
    request_routes,
    savings_routes,
)
from datamill_notifier.farewell import take_no_more
from datamill_notifier.following import follow
from datamill_notifier.live import routes as live_routes
from datamill_notifier.metrics import registry_of
from datamill_notifier.near import NEAR, Near
from datamill_notifier.problems import answer_problems
from datamill_notifier.service import SERVICE, Service, service_of

_HEADERS = {
    "Server": "datamill",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def application(service: Service) -> web.Application:
    """Return the application that answers for a service."""
    app = web.Application(
        middlewares=[follow, answer_problems, take_no_more, admin_routes.ask_for_token],
        client_max_size=MAX_MESSAGE_BYTES,
    )
    app[SERVICE] = service
    app[metrics_routes.REGISTRY] = registry_of(service)
    app[NEAR] = Near(service.catalog)
    app.add_routes(dataset_routes.routes)  # /datasets…
    app.add_routes(dataset_details_routes.routes)  # …/details
    app.add_routes(id_routes.routes)  # /ids/…
    app.add_routes(request_routes.routes)  # POST /requests
    app.add_routes(compare_routes.routes)  # /compare, /near
    app.add_routes(event_routes.routes)  # /events
    app.add_routes(metrics_routes.routes)  # /metrics
    app.add_routes(overview_routes.routes)  # /overview
    app.add_routes(health_routes.routes)  # /healthz, /readyz
    app.add_routes(openapi_routes.routes)  # /openapi.json
    app.add_routes(savings_routes.routes)  # /savings
    app.add_routes(live_routes.routes)  # /, /page…
    app.add_routes(admin_routes.routes)  # /admin/…
    app.add_routes(keeping_routes.routes)  # /admin/datasets/<id>/pin …, /admin/gc
    app.on_response_prepare.append(_add_headers)
    app.on_response_prepare.append(_count)
    return app


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)


async def _count(request: web.Request, response: web.StreamResponse) -> None:
    service_of(request).counters.add(counted.RESPONSES, 1, str(response.status))
