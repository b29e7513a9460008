# The image of the command: a static program from scratch, without a shell, for a user who is not root.
#
#     docker build -t sealbus .
#     docker run --rm -v "$PWD/shop:/work:ro" sealbus trust show /work/trust/trust.dsse
#
# How far it was checked: a test runs the build line below, and looks whether the program is static and whether
# this file keeps the rules of internal/house/release_test.go. No image was built: the machine that the tests run
# on has no Docker daemon. Pin the base image by its digest when you build for others.
FROM golang:1.26.8-trixie AS base

FROM base AS build
WORKDIR /src
COPY . .
RUN CGO_ENABLED=0 go build -ldflags='-s -w' -o /out/sealbus ./cmd/sealbus

# With --target release: a program that was built before, as .goreleaser.yaml has it.
FROM scratch AS release
ARG TARGETPLATFORM
COPY --from=base /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY $TARGETPLATFORM/sealbus /sealbus
USER 65532:65532
WORKDIR /work
ENTRYPOINT ["/sealbus"]

FROM scratch
COPY --from=base /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/sealbus /sealbus
USER 65532:65532
WORKDIR /work
ENTRYPOINT ["/sealbus"]
