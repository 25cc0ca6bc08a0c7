# One image for everything: `serve` by default, any other `lienthong` command by name.
#
#   docker build -t lienthong .
#   docker run --rm -v hub:/data lienthong init /data/hub --listen 0.0.0.0:8443 --host hub.example.vn
#   docker run -v hub:/data -p 8443:8443 lienthong
#
# The hub lies in a folder below the volume: `init` puts it in place by renaming, and a mount
# point cannot be renamed. For a signer of its own or another hub, give another command:
#
#   docker run -v signer:/signer -p 8445:8445 lienthong signer serve /signer/own --listen 0.0.0.0:8445

# --- Build: what is locked, then this tree, into one venv ---
FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/build && python -m venv --without-pip /opt/lienthong
COPY requirements/build.lock requirements/runtime.lock requirements/
# Nothing is downloaded but what the locks name, each file checked against its hash, and nothing
# but wheels: no package's own build runs here.
RUN /opt/build/bin/pip install --require-hashes --only-binary :all: -r requirements/build.lock \
 && /opt/build/bin/pip --python /opt/lienthong/bin/python install \
      --require-hashes --only-binary :all: -r requirements/runtime.lock
COPY pyproject.toml LICENSE ./
COPY hub hub
COPY adapters adapters
COPY keys keys
RUN /opt/build/bin/python -m build --wheel --no-isolation --outdir /dist . \
 && /opt/build/bin/pip --python /opt/lienthong/bin/python install --no-deps --no-index /dist/*.whl

# --- Run: the venv and nothing else, as nobody in particular ---
FROM python:3.11-slim
# Metrics and readiness are for this container alone, until a setting says otherwise.
ENV PATH=/opt/lienthong/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    LIENTHONG_METRICS_LISTEN=127.0.0.1:9464
RUN groupadd --gid 10001 lienthong \
 && useradd --uid 10001 --gid lienthong --no-create-home --home-dir /data --shell /usr/sbin/nologin lienthong \
 && install -d -o lienthong -g lienthong -m 0700 /data /signer
COPY --from=build /opt/lienthong /opt/lienthong
USER 10001:10001
WORKDIR /data
VOLUME /data
# It drains: wait longer than stop_notice_s and drain_s before killing it.
STOPSIGNAL SIGTERM
# A start reads the newest part of the log first, and a hub that waits for another is not ready.
HEALTHCHECK --interval=10s --timeout=10s --start-period=120s --retries=3 \
  CMD ["lienthong", "health", "/data/hub"]
ENTRYPOINT ["lienthong"]
EXPOSE 8443 9464
CMD ["serve", "/data/hub"]
