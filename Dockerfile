# docker build -t tidegate .
# docker run -p 8080:8080 -v ./my.toml:/etc/tidegate/default.toml:ro tidegate

FROM rust:1.95-slim-bookworm AS build
# The toolchain of the image, so that nothing else is downloaded for rust-toolchain.toml.
ENV RUSTUP_TOOLCHAIN=1.95.0
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake make \
    && rm -rf /var/lib/apt/lists/* \
    && rustup target add wasm32-unknown-unknown
WORKDIR /src
COPY . .
# What was downloaded and compiled is kept between builds, also when sources change. A cache is not
# part of the image, so the results are copied out in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    make release \
    && make plugins \
    && install -D -t /out/bin target/optimised/tidegate \
    && install -D -m 0644 -t /out/plugins config/plugins/*.wasm

FROM debian:bookworm-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
RUN install -d -o 10001 -g 10001 /var/cache/tidegate
COPY --from=build /out/bin/tidegate /usr/local/bin/
COPY --from=build /out/plugins /etc/tidegate/plugins
COPY config/default.toml /etc/tidegate/default.toml
# Compiled plugins. A volume here saves compiling them again in the next container.
ENV TIDEGATE_PLUGINS_CACHE=/var/cache/tidegate
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["tidegate"]
CMD ["run", "--config", "/etc/tidegate/default.toml"]
