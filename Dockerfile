# One build, two images: `builder` and `notifier`. compose.yaml starts them beside RabbitMQ.
FROM python:3.13.9-slim-bookworm AS build
WORKDIR /source
RUN python -m venv /opt/datamill
COPY requirements-server.lock ./
# No TensorFlow: the servers write TFRecords without it.
RUN /opt/datamill/bin/python -m pip install --no-cache-dir --require-hashes --no-deps \
    --requirement requirements-server.lock
COPY client client
COPY producer producer
COPY builder builder
COPY notifier notifier
COPY handlers handlers
# uv holds the build backend of all members: nothing more is fetched.
RUN for member in client producer builder notifier; do \
        /opt/datamill/bin/uv build --wheel --out-dir /wheels "$member" || exit 1; \
    done \
    && /opt/datamill/bin/python -m pip install --no-cache-dir --no-index --no-deps /wheels/*.whl \
    && /opt/datamill/bin/uv build --wheel --out-dir /handlers handlers

FROM python:3.13.9-slim-bookworm AS service
# git: for handler sources that are repositories.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --create-home --home-dir /var/lib/datamill datamill
COPY --from=build /opt/datamill /opt/datamill
COPY --from=build /handlers /usr/share/datamill/handlers
ENV PATH=/opt/datamill/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DATAMILL_HOME=/var/lib/datamill \
    DATAMILL_RAW_ROOT=/raw \
    DATAMILL_HANDLER_SOURCES=/usr/share/datamill/handlers
USER datamill
VOLUME /var/lib/datamill
ENTRYPOINT ["datamill"]

FROM service AS builder
CMD ["builder"]

FROM service AS notifier
EXPOSE 8080
CMD ["notifier", "--listen", "0.0.0.0:8080"]
# urlopen raises for anything but success, and so ends with 1.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=4)"]
