# arca-network with OVS 3.5 and OVN 25.03. It needs the host's network namespace
# and CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN (for network namespaces by path).
FROM golang:1.26-trixie AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /out/ ./cmd/...

FROM debian:trixie-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends openvswitch-switch ovn-central ovn-host \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/arca-network /out/arcactl /usr/bin/
VOLUME /var/lib/arca-network
ENTRYPOINT ["/usr/bin/arca-network"]
CMD ["run"]
