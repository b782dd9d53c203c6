# What a region has besides Kubernetes: DNS, two storage classes (csi with snapshots, the default; local-path), and images, with the variables and
# functions of restore-tests/lab/region-init, which sources this. They run as processes, so they need no image.

driver=csi.hourglass.test

addons_objects() {
    cat <<OBJECTS
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec: {clusterIP: $services.10, ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns-lab, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns, endpointslice.kubernetes.io/managed-by: lab}}
addressType: IPv4
ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
endpoints: [{addresses: ["$address"], conditions: {ready: true}}]
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: csi, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: $driver
reclaimPolicy: Delete
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: {name: $driver}
spec: {attachRequired: false, podInfoOnMount: false, volumeLifecycleModes: [Persistent], fsGroupPolicy: File}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: local-path}
provisioner: rancher.io/local-path
reclaimPolicy: Delete
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: v1
kind: Namespace
metadata: {name: local-path-storage}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: local-path-config, namespace: local-path-storage}
data:
  config.json: '{"nodePathMap":[{"node":"DEFAULT_PATH_FOR_NON_LISTED_NODES","paths":["$folder/local-path"]}]}'
  setup: |-
    #!/bin/sh
    set -eu
    mkdir -m 0777 -p "\$VOL_DIR"
  teardown: |-
    #!/bin/sh
    set -eu
    rm -rf "\$VOL_DIR"
  helperPod.yaml: |-
    apiVersion: v1
    kind: Pod
    metadata: {name: helper-pod}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: helper-pod, image: "$registry/app:1", imagePullPolicy: IfNotPresent}
OBJECTS
}

snapshot_class() {
    cat <<OBJECTS
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshotClass
metadata: {name: csi, annotations: {snapshot.storage.kubernetes.io/is-default-class: "true"}}
driver: $driver
deletionPolicy: Delete
OBJECTS
}

push_image() {
    skopeo --insecure-policy copy --quiet --dest-tls-verify=false "oci:$HOURGLASS_LAB_IMAGES/$1:$1" "docker://127.0.0.1:5000/$1:1"
}

addons_start() {
    local image crd=() kind socket=/var/lib/kubelet/plugins/$driver/csi.sock config=--kubeconfig=pki/addons.kubeconfig
    for kind in classes contents s; do crd+=(--filename "$kubernetes/snapshot-crd/snapshot.storage.k8s.io_volumesnapshot$kind.yaml"); done
    addons_objects >addons.yaml
    snapshot_class >snapshot-class.yaml
    cat >Corefile <<CONFIG
.:53 {
  errors
  ready 127.0.0.1:8182
  hosts /etc/hosts {
    fallthrough
  }
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig $folder/pki/addons.kubeconfig lab
    pods insecure
    ttl 5
  }
  cache 5
}
CONFIG
    echo '{"nodePathMap":[{"node":"DEFAULT_PATH_FOR_NON_LISTED_NODES","paths":["'"$folder"'/local-path"]}]}' >local-path.json
    until_ready kubectl apply --server-side "${crd[@]}" --filename addons.yaml
    until_ready kubectl apply --server-side --filename snapshot-class.yaml
    start coredns coredns -conf Corefile
    start csi lab-csi --region="$name" --node="$node" --pool="$folder/csi" --socket="$socket" --registration=/var/lib/kubelet/plugins_registry/lab-csi.sock
    until_ready test -S "$socket"
    NODE_NAME=$node start csi-provisioner csi-provisioner "$config" --csi-address="$socket" --feature-gates=Topology=true --strict-topology=false \
        --immediate-topology=true --extra-create-metadata=true --default-fstype=ext4
    start csi-snapshotter csi-snapshotter "$config" --csi-address="$socket"
    start snapshot-controller snapshot-controller "$config"
    start local-path local-path-provisioner start "$config" --config=local-path.json --provisioner-name=rancher.io/local-path \
        --service-account-name=default --namespace=local-path-storage --helper-image="$registry/app:1" --configmap-name=local-path-config
    for image in pause app hook; do until_ready push_image "$image"; done
}

addons_ready() {
    until_ready node_is_ready
    # The controllers make this account last.
    until_ready kubectl --namespace default get serviceaccount default
    until_ready curl --silent --fail http://127.0.0.1:8182/ready
    until_ready csi_is_registered
}

node_is_ready() { [ "$(kubectl get node "$node" --output jsonpath='{.status.conditions[?(@.type=="Ready")].status}')" = True ]; }

csi_is_registered() { kubectl get csinode "$node" --output jsonpath='{.spec.drivers[*].name}' | grep --quiet "$driver"; }
