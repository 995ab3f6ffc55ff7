# Images of the operator and of the sandbox provider, for users with a container engine (without one: cargo image).
#
#   docker build --build-arg FOODDELIVERY_REVISION=$(git rev-parse HEAD) --tag fooddelivery/operator:0.1.0 .
#   docker build --target sandbox --tag fooddelivery/sandbox:0.1.0 .

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
ARG FOODDELIVERY_REVISION=
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    FOODDELIVERY_REVISION=${FOODDELIVERY_REVISION} cargo build --locked --release --bins \
        --package fooddelivery-controller --package fooddelivery-sandbox \
    && mkdir /out \
    && cp target/release/fooddelivery-operator target/release/fooddelivery-sandbox /out/

# libc, libgcc, certificates of authorities and time zones, no shell; "nonroot" is user 65532, by number below so that
# a kubelet can see that it is not root.
FROM gcr.io/distroless/cc-debian12:nonroot AS base
USER 65532:65532
WORKDIR /
ARG FOODDELIVERY_REVISION=
ARG FOODDELIVERY_VERSION=0.1.0
LABEL org.opencontainers.image.version=${FOODDELIVERY_VERSION} \
      org.opencontainers.image.revision=${FOODDELIVERY_REVISION} \
      org.opencontainers.image.licenses=Apache-2.0

FROM base AS sandbox
LABEL org.opencontainers.image.title="Payment and message provider to try the operator with"
COPY --from=build /out/fooddelivery-sandbox /usr/local/bin/fooddelivery-sandbox
ENTRYPOINT ["/usr/local/bin/fooddelivery-sandbox"]

FROM base AS operator
LABEL org.opencontainers.image.title="Food-delivery saga operator"
COPY --from=build /out/fooddelivery-operator /usr/local/bin/fooddelivery-operator
ENTRYPOINT ["/usr/local/bin/fooddelivery-operator"]
