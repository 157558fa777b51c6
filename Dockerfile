# The image of asana-event-bridge: the program, the C library that it is linked with, certificate authorities, and
# nothing else. No shell, no package manager; user 65532.
#
#   docker build -t asana-event-bridge .
#   docker build -t asana-event-bridge --platform linux/arm64 .      cross-compiled: no emulation is needed
#   buildah build --build-arg TARGETARCH=arm64 -t asana-event-bridge .

ARG RUST_VERSION=1.90

FROM --platform=$BUILDPLATFORM docker.io/library/rust:${RUST_VERSION}-bookworm AS build
# amd64 or arm64; without the argument it is the machine's own, or that of --platform.
ARG TARGETARCH
WORKDIR /src
RUN dpkg --add-architecture $TARGETARCH \
    && apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates crossbuild-essential-$TARGETARCH \
        libc6:$TARGETARCH libgcc-s1:$TARGETARCH \
    && rm -rf /var/lib/apt/lists/*
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target,id=target-$TARGETARCH \
    scripts/image-root $TARGETARCH /root-of-image

FROM scratch
LABEL org.opencontainers.image.title="asana-event-bridge" \
      org.opencontainers.image.description="Asana's event streams on your own Kafka or NATS JetStream, exactly once" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /root-of-image /
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/bin/asana-event-bridge"]
