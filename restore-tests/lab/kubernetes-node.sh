# The node of a region: registry, containerd, kubelet, kube-proxy, with the variables and functions of restore-tests/lab/region-init, which sources
# this.

registry_start() {
    cat >registry.yaml <<CONFIG
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $folder/registry}, delete: {enabled: true}, cache: {blobdescriptor: inmemory}}
http: {addr: "0.0.0.0:5000", secret: lab}
CONFIG
    start registry docker-registry serve registry.yaml
}

# A process without CAP_SYS_RESOURCE may not lower its OOM score, and runc would fail: hence restrict_oom_score_adj.
containerd_start() {
    local host
    # By its address it can be named outside of the region as well.
    for host in "$registry" "$address:5000"; do
        mkdir -p "certs.d/$host"
        cat >"certs.d/$host/hosts.toml" <<CONFIG
server = "http://$address:5000"
[host."http://$address:5000"]
  capabilities = ["pull", "resolve"]
CONFIG
    done
    cat >containerd.toml <<CONFIG
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$registry/pause:1"
  disable_apparmor = true
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "$containers/usr/sbin/runc"
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$containers/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "$folder/certs.d"
CONFIG
    cat >/etc/cni/net.d/10-lab.conflist <<CONFIG
{"cniVersion": "0.4.0", "name": "lab", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$pods.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
CONFIG
    start containerd containerd --config containerd.toml
}

node_start() {
    cat >kubelet.yaml <<CONFIG
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
cgroupRoot: /$group
failCgroupV1: false
failSwapOn: false
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $folder/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $folder/pki/kubelet.crt
tlsPrivateKeyFile: $folder/pki/kubelet.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
clusterDomain: cluster.local
clusterDNS: ["$services.10"]
resolvConf: $folder/resolv.conf
volumePluginDir: /var/lib/kubelet/volumeplugins
readOnlyPort: 0
healthzBindAddress: 127.0.0.1
maxPods: 100
serializeImagePulls: false
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}
syncFrequency: 10s
nodeStatusUpdateFrequency: 5s
kubeAPIQPS: 100
kubeAPIBurst: 200
registryPullQPS: 0
shutdownGracePeriod: 0s
CONFIG
    cat >proxy.yaml <<CONFIG
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {kubeconfig: $folder/pki/proxy.kubeconfig}
clusterCIDR: $pods.0/24
hostnameOverride: $node
bindAddress: 0.0.0.0
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
CONFIG
    until_ready test -S /run/containerd/containerd.sock
    start kubelet kubelet --config=kubelet.yaml --kubeconfig=pki/kubelet.kubeconfig --hostname-override="$node" --node-ip="$address" \
        --root-dir=/var/lib/kubelet --cert-dir=/var/lib/kubelet/pki \
        --node-labels="topology.kubernetes.io/region=region-$name,topology.kubernetes.io/zone=region-${name}1"
    start proxy kube-proxy --config=proxy.yaml
}
