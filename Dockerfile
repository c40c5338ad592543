# besty with its web pages in one binary: docker build -t besty --build-arg BESTY_COMMIT=$(git rev-parse --short=12 HEAD) .

FROM node:22-bookworm-slim AS pages
WORKDIR /src/playground
COPY playground/package.json playground/package-lock.json ./
RUN npm ci --no-audit --no-fund
# The pages' operations are typed by it.
COPY schema.graphql /src/schema.graphql
COPY playground ./
RUN npm run build

FROM rust:1-bookworm AS server
WORKDIR /src
COPY . .
COPY --from=pages /src/playground/dist playground/dist
# What `besty --version` tells: the repository itself is not in here, see .dockerignore.
ARG BESTY_COMMIT
# As `make release` builds it: the C library is in it too, so it runs on any Linux of its processor.
# What is cached between builds is not in the image, so the binary is copied out of it. Pages that are older than
# the last build (those of a cached layer) would not be noticed, hence the touch.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    touch playground/dist \
    && host="$(rustc -vV | sed -n 's/^host: //p')" \
    && RUSTFLAGS="-C target-feature=+crt-static" \
        cargo build --locked --release --target "$host" --bin besty \
    && cp "target/$host/release/besty" /usr/local/bin/besty

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
RUN groupadd --system --gid 10001 besty \
    && useradd --system --uid 10001 --gid 10001 --no-create-home besty \
    && install -d -o besty -g besty /data
COPY --from=server /usr/local/bin/besty /usr/local/bin/besty
# By number, or Kubernetes can't tell that it is not root (runAsNonRoot).
USER 10001:10001
# The spool, and the database when it is SQLite.
WORKDIR /data
VOLUME /data
# On loopback nothing outside the container could reach it. The server refuses to start like this until access
# is configured (or ALLOW_ANONYMOUS=true) and WEBHOOK_SECRET is one of your own.
ENV HOST=0.0.0.0
EXPOSE 3000 3001
# There is no curl in the image. The process answers; whether it can serve is for the balancer to ask, at /readyz.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/${PORT:-3000} && printf 'GET /healthz HTTP/1.0\r\n\r\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]
ENTRYPOINT ["besty"]
CMD ["serve"]
