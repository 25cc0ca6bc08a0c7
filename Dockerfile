# One image for everything: `serve` by default, any other `lienthong` command by name.
#
#   docker build -t lienthong .
#   docker run --rm -v hub:/data lienthong init /data/hub --listen 0.0.0.0:8443 --host hub.example.vn
#   docker run -v hub:/data -p 8443:8443 lienthong
#
# The hub lies in a folder below the volume: `init` puts it in place by renaming, and a mount
# point cannot be renamed.

# --- Build: what is locked, then this tree, into one venv ---
FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/build && python -m venv /opt/lienthong
COPY requirements/build.lock requirements/runtime.lock requirements/
RUN /opt/build/bin/pip install --require-hashes -r requirements/build.lock \
 && /opt/lienthong/bin/pip install --require-hashes -r requirements/runtime.lock
COPY pyproject.toml LICENSE ./
COPY hub hub
COPY adapters adapters
COPY keys keys
RUN /opt/build/bin/python -m build --wheel --no-isolation --outdir /dist . \
 && /opt/lienthong/bin/pip install --no-deps --no-index /dist/*.whl

# --- Run: the venv and nothing else, as nobody in particular ---
FROM python:3.11-slim
ENV PATH=/opt/lienthong/bin:$PATH PYTHONUNBUFFERED=1
RUN groupadd --gid 10001 lienthong \
 && useradd --uid 10001 --gid lienthong --no-create-home --home-dir /data --shell /usr/sbin/nologin lienthong \
 && install -d -o lienthong -g lienthong -m 0700 /data
COPY --from=build /opt/lienthong /opt/lienthong
USER lienthong
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM
ENTRYPOINT ["lienthong"]
EXPOSE 8443
CMD ["serve", "/data/hub"]
