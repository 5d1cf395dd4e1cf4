# Both binaries in an image that holds nothing else: no shell, no package manager, no root. Build:
#   docker build -t concord .
FROM golang:1.26.8-bookworm AS build
WORKDIR /src

# The dependencies in a layer of their own, so that a change of our code does not download them again.
COPY go.mod go.sum ./
RUN go mod download

COPY . .
# timetzdata puts the time zones into the binaries: Listrak's dates carry none, each merchant's is a setting, and the final image
# has no zone files. -trimpath makes the same sources give the same binaries.
RUN CGO_ENABLED=0 go build -trimpath -tags timetzdata -ldflags "-s -w" -o /out/ ./worker ./starter
RUN mkdir -p /data/exports

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/ /usr/local/bin/
# What is held of people who asked for it (CONCORD_EXPORT_DIRECTORY); a volume that is mounted here takes over owner and mode.
COPY --from=build --chown=65532:65532 /data/ /
# A number, since there is no /etc/passwd, and so that Kubernetes' runAsNonRoot can check it.
USER 65532:65532
ENV PATH=/usr/local/bin CONCORD_EXPORT_DIRECTORY=/exports
CMD ["worker"]
