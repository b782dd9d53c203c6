//! The Kubernetes clusters of the lab are real: pods run, names resolve, volumes keep data, and a region that loses power leaves nothing.

use std::{fs, path::Path, process::Command, thread};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    clusters::{Cluster, eventually, kubeconfig, kubectl},
    lab::{Region, require},
};

const IDENTITY: [&str; 5] = ["get", "namespace", "kube-system", "--output", "jsonpath={.metadata.uid}"];

#[test]
fn two_kubernetes_control_planes_run_and_are_not_the_same() {
    let [a, b] = [Region::A, Region::B].map(kubeconfig);
    assert_ne!(kubectl(&a, &IDENTITY).unwrap(), kubectl(&b, &IDENTITY).unwrap());
    assert_eq!(kubectl(&a, &["auth", "can-i", "*", "*", "--all-namespaces"]).unwrap().trim(), "yes");
    let version = kubectl(&b, &["version"]).unwrap();
    assert!(version.contains("Server Version: v1.34.4"), "{version}");
}

#[test]
fn a_kubernetes_api_server_that_is_killed_comes_back_with_its_objects() {
    let cluster = Cluster::control_plane();
    assert_ne!(cluster.kubectl(&IDENTITY).unwrap(), kubectl(&kubeconfig(Region::A), &IDENTITY).unwrap());
    cluster.kubectl(&["create", "configmap", "kept", "--from-literal=marker=4711"]).unwrap();
    let pid_file = cluster.folder().join("apiserver.pid");
    let pid = fs::read_to_string(&pid_file).unwrap();
    kill_process(Pid::from_raw(pid.trim().parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    eventually(|| if fs::read_to_string(&pid_file).unwrap() == pid { Err("not started again".to_owned()) } else { Ok(()) });
    let kept = eventually(|| cluster.kubectl(&["get", "configmap", "kept", "--output", "jsonpath={.data.marker}"]));
    assert_eq!(kept, "4711");
}

/// A server with a claim of each class, a name for it, and a client that asks it by that name.
fn platform(region: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Namespace
metadata: {{name: shop}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop}}
spec: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: 8080}}]}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data, namespace: shop}}
spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 10Mi}}}}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: local, namespace: shop}}
spec: {{accessModes: [ReadWriteOnce], storageClassName: local-path, resources: {{requests: {{storage: 10Mi}}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: shop, labels: {{app: web}}}}
spec:
  containers:
  - name: web
    image: registry.region-{region}.test/app:1
    command: [sh, -c, "echo made in {region} | tee /data/marker /local/marker; exec lab-app serve"]
    readinessProbe: {{httpGet: {{path: /, port: 8080}}, periodSeconds: 1}}
    volumeMounts: [{{name: data, mountPath: /data}}, {{name: local, mountPath: /local}}]
  volumes:
  - {{name: data, persistentVolumeClaim: {{claimName: data}}}}
  - {{name: local, persistentVolumeClaim: {{claimName: local}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: client, namespace: shop}}
spec:
  restartPolicy: OnFailure
  containers: [{{name: client, image: registry.region-{region}.test/app:1, command: [lab-app, fetch, "http://web"]}}]
"#
    )
}

/// A snapshot of the claim `data`, a claim made of it, and a pod that reads that.
fn copied(region: &str) -> String {
    format!(
        r#"
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: {{name: data, namespace: shop}}
spec: {{source: {{persistentVolumeClaimName: data}}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: copied, namespace: shop}}
spec:
  accessModes: [ReadWriteOnce]
  resources: {{requests: {{storage: 10Mi}}}}
  dataSource: {{apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: data}}
---
apiVersion: v1
kind: Pod
metadata: {{name: reader, namespace: shop}}
spec:
  restartPolicy: Never
  containers: [{{name: reader, image: registry.region-{region}.test/app:1, command: [cat, /data/marker], volumeMounts: [{{name: data, mountPath: /data}}]}}]
  volumes: [{{name: data, persistentVolumeClaim: {{claimName: copied}}}}]
"#
    )
}

fn phase(region: &Cluster, pod: &str, wanted: &str) {
    eventually(|| {
        let phase = region.kubectl(&["--namespace=shop", "get", "pod", pod, "--output=jsonpath={.status.phase}"])?;
        if phase == wanted { Ok(()) } else { region.kubectl(&["--namespace=shop", "describe", "pods"]).and_then(Err) }
    });
}

fn works(region: &Cluster, name: &str) {
    region.apply(&platform(name));
    phase(region, "client", "Succeeded");
    assert!(region.kubectl(&["--namespace=shop", "logs", "client"]).unwrap().contains("hello from web"));
    for place in ["/data/marker", "/local/marker"] {
        let read = region.kubectl(&["--namespace=shop", "exec", "web", "--", "cat", place]).unwrap();
        assert_eq!(read, format!("made in {name}\n"));
    }
    region.apply(&copied(name));
    phase(region, "reader", "Succeeded");
    assert_eq!(region.kubectl(&["--namespace=shop", "logs", "reader"]).unwrap(), format!("made in {name}\n"));
}

/// What is left of a region: processes that name its folder or are in its control groups, mounts, links, control groups.
fn left(region: &str, folder: &Path) -> Vec<String> {
    let (network, folder) = (require("HOURGLASS_LAB_WAN"), folder.to_str().unwrap());
    let group = format!("hourglass-{network}-{region}");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        let line = String::from_utf8_lossy(&fs::read(path.join("cmdline")).unwrap_or_default()).replace('\0', " ");
        if line.contains(folder) || fs::read_to_string(path.join("cgroup")).unwrap_or_default().contains(&group) {
            found.push(format!("process {}: {line}", path.display()));
        }
    }
    found.extend(fs::read_to_string("/proc/mounts").unwrap().lines().filter(|line| line.contains(folder)).map(str::to_owned));
    let link = format!("hg-{}-{region}", network.trim_start_matches("10.").replace('.', "-"));
    found.extend(Path::new("/sys/class/net").join(&link).exists().then_some(link));
    for kind in fs::read_dir("/sys/fs/cgroup").unwrap() {
        let place = kind.unwrap().path().join(&group);
        found.extend(place.exists().then(|| place.display().to_string()));
    }
    found
}

#[test]
fn two_kubernetes_regions_run_pods_of_our_images_and_leave_nothing_when_they_lose_power() {
    let [mut a, mut b] = Cluster::regions();
    thread::scope(|scope| {
        scope.spawn(|| works(&a, "a"));
        works(&b, "b");
    });
    let before = left("a", a.folder());
    assert!(before.len() > 20, "what is left would not be seen: {before:#?}");
    let catalog = Command::new("curl").args(["--silent", &format!("http://{}:5000/v2/_catalog", b.address())]).output().unwrap();
    assert_eq!(String::from_utf8(catalog.stdout).unwrap().trim(), r#"{"repositories":["app","hook","pause"]}"#);
    a.lose_power();
    assert_eq!(left("a", a.folder()), Vec::<String>::new());
    drop(a);
    assert_eq!(b.kubectl(&["--namespace=shop", "exec", "web", "--", "cat", "/data/marker"]).unwrap(), "made in b\n");
    b.kill_whoever_watches_it();
    eventually(|| match left("b", b.folder()) {
        nothing if nothing.is_empty() => Ok(()),
        something => Err(format!("{something:#?}")),
    });
    let again = Cluster::region(Region::A);
    assert!(again.kubectl(&["get", "namespace", "shop"]).unwrap_err().contains("not found"), "it is a new one");
}
