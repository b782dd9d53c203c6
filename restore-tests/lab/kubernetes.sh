# Registries and what runs containers, from Debian; and Kubernetes 1.34, built from its Go modules (restore-tests/lab/kubernetes): two
# control planes without nodes, a and b, on loopback. Sourced by restore-tests/run.

# The rest of restore-tests/lab/kubernetes is part of its key: see tool. Caches of Go are the user's own.
kubernetes_install() (
    version=1.34.4
    flags='-s -w -X helm.sh/helm/v3/internal/version.version=v3.19.0'
    for package in component-base client-go/pkg; do
        for setting in gitVersion=v$version gitMajor=1 gitMinor=34 gitTreeState=clean gitCommit=lab buildDate=2026-01-01T00:00:00Z; do
            flags+=" -X k8s.io/$package/version.$setting"
        done
    done
    cd restore-tests/lab/kubernetes
    export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS='-modcacherw -buildvcs=false'
    go build -p 2 -trimpath -ldflags "$flags" -o "$1/" ./... helm.sh/helm/v3/cmd/helm \
        github.com/kubernetes-csi/external-provisioner/v5/cmd/csi-provisioner \
        github.com/kubernetes-csi/external-snapshotter/v8/cmd/csi-snapshotter github.com/kubernetes-csi/external-snapshotter/v8/cmd/snapshot-controller
    # By itself, because it spells a module of the others with a capital letter, which one build does not take.
    go build -p 2 -trimpath -ldflags "$flags" -o "$1/" github.com/rancher/local-path-provisioner
    for name in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do ln -s kube-all "$1/$name"; done
    cp -r "$(go list -m -f '{{.Dir}}' github.com/kubernetes-csi/external-snapshotter/client/v8)/config/crd" "$1/snapshot-crd"
    chmod -R u+w "$1/snapshot-crd"
)

# Unpacked, not installed: Debian would start them, and would remove what they are in conflict with.
containers_install() (
    cd "$1"
    apt-get --option APT::Sandbox::User=root download busybox-static containerd containernetworking-plugins docker-registry runc
    for package in *.deb; do dpkg-deb --extract "$package" .; done
    rm ./*.deb
)

# Nothing runs: tests start registries of their own.
containers_start() {
    export HOURGLASS_LAB_CONTAINERS
    HOURGLASS_LAB_CONTAINERS=$(tool containers)
}

containers_ready() { :; }

kubernetes_start() {
    local region
    export HOURGLASS_LAB_KUBERNETES HOURGLASS_LAB_IMAGES="$lab/images" HOURGLASS_LAB_WAN
    export HOURGLASS_LAB_KUBECONFIG_A="$lab/kubernetes-a/admin.kubeconfig" HOURGLASS_LAB_KUBECONFIG_B="$lab/kubernetes-b/admin.kubeconfig"
    HOURGLASS_LAB_KUBERNETES=$(tool kubernetes)
    HOURGLASS_LAB_WAN="10.$((200 + RANDOM % 50)).$((RANDOM % 250))"
    for region in a b; do service "kubernetes-$region" KILL restore-tests/lab/control-plane "$lab/kubernetes-$region"; done
    images_make >"$lab/images.log" 2>&1 || { tail "$lab/images.log" >&2; exit 1; }
}

# images_make: the images of our own, as folders that restore-tests/lab/region pushes: `app` is a small system with lab-app in it.
images_make() {
    local command items=(dir:/bin dir:/etc dir:/tmp:1777)
    printf 'root:x:0:0:root:/:/bin/sh\n' >"$lab/passwd"
    items+=("$lab/passwd:/etc/passwd:644" "$HOURGLASS_LAB_CONTAINERS/bin/busybox:/bin/busybox" "$HOURGLASS_LAB_KUBERNETES/lab-app:/bin/lab-app")
    for command in $("$HOURGLASS_LAB_CONTAINERS/bin/busybox" --list | grep --invert-match --line-regexp busybox); do items+=("link:busybox:/bin/$command"); done
    restore-tests/lab/image "$lab/images/app" app '["/bin/lab-app", "serve"]' "${items[@]}"
    restore-tests/lab/image "$lab/images/pause" pause '["/lab-app", "sleep"]' "$HOURGLASS_LAB_KUBERNETES/lab-app:/lab-app"
    restore-tests/lab/image "$lab/images/hook" hook '["/lab-hook", "/tls/tls.crt", "/tls/tls.key", ":8443"]' "$HOURGLASS_LAB_KUBERNETES/lab-hook:/lab-hook"
}

# The controllers make this account last.
kubernetes_ready() {
    local region
    for region in a b; do
        ready "kubernetes-$region" 600 "$HOURGLASS_LAB_KUBERNETES/kubectl" --kubeconfig "$lab/kubernetes-$region/admin.kubeconfig" --namespace default get serviceaccount default
    done
}
