//! A site whose stores regions reach, a portal with files in region A, and its claims.

use std::{
    fs, io,
    net::{Shutdown, TcpListener, TcpStream},
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use hourglass::{
    config::StoreConfig,
    storage::{ObjectStore, list_all},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::{
    clusters::{Cluster, eventually},
    image,
    lab::{Region, require},
    site::{Site, find, yaml},
    stores::places::{S3, bucket, s3},
};

/// Opens an address that regions reach, behind which is a server on loopback. It stays open until the tests end.
pub fn reachable(endpoint: &str) -> String {
    let server = endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let listener = TcpListener::bind(format!("{}.1:0", require("HOURGLASS_LAB_WAN"))).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(&server) else { continue };
            for (mut from, mut to) in [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)] {
                thread::spawn(move || {
                    // A connection that breaks is one that ends.
                    let _moved = io::copy(&mut from, &mut to);
                    let _shut = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    format!("http://{address}")
}

/// A portal of two pods with a claim each, in a namespace of its own.
const PORTAL: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: portal, namespace: shop}
spec:
  replicas: 2
  podManagementPolicy: Parallel
  serviceName: portal
  selector: {matchLabels: {app: portal}}
  template:
    metadata: {labels: {app: portal}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: portal, image: "IMAGE", command: [lab-app, sleep], volumeMounts: [{name: data, mountPath: /data}]}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"#;

/// The claims of the portal, without a volume.
const CLAIM: &str = r#"
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: NAME, namespace: shop}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"#;

/// Fills /data with all that has to come back.
const FILL: &str = r#"
set -e; cd /data; mkdir -p small deep/er empty; i=0
while [ $i -lt 2000 ]; do echo "file $i of $(hostname)" >small/$i; i=$((i+1)); done
dd if=/dev/urandom of=large bs=1M count=50 2>/dev/null
ln -s small/7 link; ln small/7 deep/hard; printf x >"$(printf 'not-utf8-\377')"
chown 1001:2002 small/1 deep; chown -h 1001:2002 link; chmod 640 small/1; chmod 4755 small/2; chmod 2750 deep; chmod 1777 empty
touch -d '2001-02-03 04:05:06' small/3 deep
"#;

/// What /data holds, said by programs that have nothing of ours in them.
const LISTING: &str = r#"
cd /data; { find . -type f -exec sha256sum {} + ; find . -exec stat -c '%n|%a|%u:%g|%F|%Y' {} + ; find . ! -type d -exec stat -c '%n|%h names' {} + ;
find . -type l -exec readlink {} + ; } | cat -v | sort
"#;

/// Everything that a test of volumes needs.
pub struct World {
    pub a: Cluster,
    pub site: Site,
    pub stores: [StoreConfig; 2],
    runtime: Runtime,
}

impl World {
    /// Region A with the portal, and a site with an empty repository in S3. Nothing is configured to be captured yet.
    pub fn new() -> World {
        let a = Cluster::region(Region::A);
        let runtime = Runtime::new().unwrap();
        let endpoint = reachable(&S3::SeaweedFs.endpoint());
        let stores = [(); 2].map(|()| {
            let made = runtime.block_on(bucket(S3::SeaweedFs, None));
            StoreConfig { endpoint: Some(endpoint.parse().unwrap()), ..made }
        });
        let site = Site::new("we", &[("primary", yaml(&stores[0]))], &yaml(&stores[1])).with_s3();
        site.run(&["init", "--write"], 0);
        let world = World { a, site, stores, runtime };
        world.equip(&world.a);
        world.a.apply(&PORTAL.replace("IMAGE", "registry.region-a.test/app:1"));
        world.run_portal(&world.a);
        world
    }

    /// Namespace, and the Secret that workers reach stores with.
    pub fn equip(&self, region: &Cluster) {
        let keys = [("AWS_ACCESS_KEY_ID", require("HOURGLASS_LAB_S3_KEY")), ("AWS_SECRET_ACCESS_KEY", require("HOURGLASS_LAB_S3_SECRET"))];
        let keys: String = keys.iter().map(|(name, value)| format!("{name}: {value:?}, ")).collect();
        region.apply(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop}}\n---\napiVersion: v1\nkind: Secret\nmetadata: {{name: stores, namespace: shop}}\n\
             stringData: {{{keys}AWS_REGION: us-east-1}}\n"
        ));
    }

    /// Claims without files in a region that has none.
    pub fn make_claims(&self, region: &Cluster) {
        let claims = ["data-portal-0", "data-portal-1"].map(|name| CLAIM.replace("NAME", name));
        region.apply(&claims.join("---"));
    }

    pub fn run_portal(&self, region: &Cluster) {
        eventually(|| {
            match region.kubectl(&["--namespace=shop", "get", "statefulset", "portal", "--output=jsonpath={.status.readyReplicas}"])?.as_str() {
                "2" => Ok(()),
                _ => region.kubectl(&["--namespace=shop", "describe", "pods"]).and_then(Err),
            }
        });
    }

    /// The portal in another region, on claims that are there.
    pub fn start_portal(&self, region: &Cluster, name: &str) {
        region.apply(&PORTAL.replace("IMAGE", &format!("registry.region-{name}.test/app:1")));
        self.run_portal(region);
    }

    /// A source of volumes in a region. `more` is what it says besides, `worker` what its workers do.
    pub fn source(&self, name: &str, region: &Cluster, region_name: &str, more: &str, worker: &str) -> String {
        let image = image::push(region, region_name);
        let kubeconfig = region.kubeconfig().display().to_string();
        format!("  {name}: {{ volumes: {{ kubeconfig: {kubeconfig:?}, {more} worker: {{ image: {image:?}, env_from: [stores], {worker} }} }} }}\n")
    }

    /// Protects the claims of the portal by workers that do `worker`, with `more` sources.
    pub fn protect(&self, worker: &str, more: &str) {
        let files = self.source("files", &self.a, "a", "claims: [\"shop/data-*\"],", worker);
        self.site.configure(&format!("sources:\n{files}{more}policies:\n  p: {{ members: {{ files: required }} }}\n"));
        self.site.run(&["keys", "prove"], 0);
    }

    /// All keys in the repository (0) or the control store (1).
    pub fn keys(&self, store: usize) -> Vec<(String, u64)> {
        let listed = self.runtime.block_on(async {
            let store = s3(&self.stores[store]).await;
            list_all(store.as_ref() as &dyn ObjectStore, "").await.unwrap()
        });
        listed.into_iter().map(|object| (object.key.to_string(), object.size.0)).collect()
    }
}

/// Runs a shell script in a pod of the portal.
pub fn shell(region: &Cluster, pod: &str, script: &str) -> String {
    region.kubectl(&["--namespace=shop", "exec", pod, "--", "sh", "-c", script]).unwrap()
}

/// Fills both claims, each with files of its own.
pub fn fill(region: &Cluster) {
    for pod in ["portal-0", "portal-1"] {
        shell(region, pod, FILL);
    }
}

/// What both claims hold.
pub fn listings(region: &Cluster) -> [Vec<String>; 2] {
    ["portal-0", "portal-1"].map(|pod| shell(region, pod, LISTING).lines().map(str::to_owned).collect())
}

/// Panics with the first lines that differ.
pub fn assert_equal(expected: &[Vec<String>; 2], found: &[Vec<String>; 2]) {
    for (expected, found) in expected.iter().zip(found) {
        let differs: Vec<_> = expected.iter().zip(found).filter(|(expected, found)| expected != found).take(5).collect();
        assert!(differs.is_empty() && expected.len() == found.len(), "{} and {} lines: {differs:#?}", expected.len(), found.len());
    }
}

/// Kills the worker of the first part in a region that does this (`capture` or `restore`, and what follows the part), once `ready` says so.
pub fn kill_worker(region: &str, (duty, which): (&str, &str), mut ready: impl FnMut() -> bool) {
    let group = format!("hourglass-{}-{region}", require("HOURGLASS_LAB_WAN"));
    let until = Instant::now() + Duration::from_secs(300);
    while !ready() {
        assert!(Instant::now() < until, "no worker came so far");
        thread::sleep(Duration::from_millis(20));
    }
    kill_process(worker(&group, duty, which).expect("it works on"), Signal::KILL).unwrap();
}

fn worker(group: &str, duty: &str, which: &str) -> Option<Pid> {
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let line = String::from_utf8(fs::read(entry.path().join("cmdline")).ok()?).ok()?.replace('\0', " ");
        let ours = line.contains(&format!(" worker {duty} ")) && line.contains(&format!(" --part 0 {which}")) && is_in(&entry.path(), group);
        ours.then(|| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)).flatten()
    })
}

fn is_in(process: &Path, group: &str) -> bool {
    fs::read_to_string(process.join("cgroup")).is_ok_and(|text| text.contains(group))
}

/// Starts the binary and does not wait.
pub fn start(site: &Site, arguments: &[&str]) -> Child {
    site.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What a run with `--output json` says.
pub fn json(said: &str) -> Value {
    serde_json::from_str(said.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{said}"))).unwrap()
}

/// The newest run that a site knows.
pub fn newest_run(site: &Site) -> String {
    let runs = json(&site.run(&["runs", "list", "--output", "json", "--quiet"], 0));
    find(&runs, "runs").unwrap()[0]["run"].as_str().unwrap().to_owned()
}
