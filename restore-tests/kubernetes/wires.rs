//! API servers that are overloaded, fail, or lose answers and versions in the middle: it is done all the same, or it is clear that it is not.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::runtime::Runtime;

use super::{
    faults::{many, resumable, versions},
    world::{Plane, World},
};
use crate::{
    lab::{Servers, require},
    wire::{Proxy, Wire},
};

/// A way to an API server on which a script decides what happens to requests.
struct Way {
    kubectl: Child,
    _proxy: Proxy,
    _runtime: Runtime,
    kubeconfig: PathBuf,
}

impl Way {
    fn to(plane: &Plane, world: &World, script: impl Fn(u64, &str) -> Wire + Send + Sync + 'static) -> Way {
        let program = Path::new(&require("HOURGLASS_LAB_KUBERNETES")).join("kubectl");
        let mut kubectl = Command::new(program)
            .arg("--kubeconfig")
            .arg(&plane.kubeconfig)
            .args(["proxy", "--port=0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(kubectl.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let server = said.trim().rsplit(' ').next().unwrap().to_owned();
        let runtime = Runtime::new().unwrap();
        let proxy = runtime.block_on(Proxy::at(server, script));
        let kubeconfig = world.site.path("way.kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: way\ncontexts: [{{ name: way, context: {{ cluster: way, user: way }} }}]\n\
             clusters: [{{ name: way, cluster: {{ server: \"http://127.0.0.1:{}\" }} }}]\nusers: [{{ name: way, user: {{}} }}]\n",
            proxy.port()
        );
        fs::write(&kubeconfig, text).unwrap();
        Way { kubectl, _proxy: proxy, _runtime: runtime, kubeconfig }
    }

    /// The source of a plane goes this way.
    fn lead(&self, world: &World, plane: &Plane) {
        world.reconfigure(&plane.kubeconfig.display().to_string(), &self.kubeconfig.display().to_string());
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        let _gone = self.kubectl.kill().and_then(|()| self.kubectl.wait());
    }
}

#[test]
fn a_kubernetes_restore_goes_on_over_refusals_failures_and_lost_answers() {
    let _lab = Servers::Kubernetes.together();
    let world = many(200);
    let way = Way::to(&world.b, &world, |number, _| match number % 23 {
        3 | 11 => Wire::Status(429),
        5 => Wire::Status(500),
        7 => Wire::LostAnswer,
        13 => Wire::CutRequest,
        17 => Wire::CutAnswer,
        19 => Wire::Status(503),
        _ => Wire::Pass,
    });
    way.lead(&world, &world.b);
    let said = world.restored(0);
    assert!(said.contains("found equal to what was saved"), "{said}");
    assert_eq!(versions(&world).len(), 200);
}

#[test]
fn a_kubernetes_server_that_fails_for_good_ends_the_restore_with_its_reason_and_it_goes_on_later() {
    let _lab = Servers::Kubernetes.together();
    let world = many(200);
    let way = Way::to(&world.b, &world, |number, line| {
        let makes = line.starts_with("POST") && line.contains("/configmaps");
        if makes && number > 100 { Wire::Status(500) } else { Wire::Pass }
    });
    way.lead(&world, &world.b);
    let said = world.restored(1);
    assert!(said.contains("500") && said.contains("configmaps"), "{said}");
    let before = versions(&world);
    assert!(before.len() < 200, "it failed too late to show anything");
    world.reconfigure(&way.kubeconfig.display().to_string(), &world.b.kubeconfig.display().to_string());
    let said = world.site.run(&["runs", "resume", &resumable(&said)], 0);
    assert!(said.contains("found equal to what was saved"), "{said}");
    let after = versions(&world);
    assert_eq!(after.len(), 200);
    assert!(before.iter().all(|(name, version)| after[name] == *version), "something was written again");
}

#[test]
fn a_kubernetes_list_whose_version_is_gone_in_the_middle_is_begun_anew_and_nothing_is_there_twice() {
    let _lab = Servers::Kubernetes.together();
    let world = many(1200);
    // The third page is refused once.
    let (asked, is_gone) = (AtomicU64::new(0), Arc::new(AtomicBool::new(false)));
    let gone = Arc::clone(&is_gone);
    let way = Way::to(&world.a, &world, move |_, line| {
        let is_later = line.contains("/configmaps?") && line.contains("continue=");
        match is_later && asked.fetch_add(1, Ordering::SeqCst) == 1 {
            true => {
                gone.store(true, Ordering::SeqCst);
                Wire::Status(410)
            }
            false => Wire::Pass,
        }
    });
    way.lead(&world, &world.a);
    world.site.run(&["backup", "p"], 0);
    assert!(is_gone.load(Ordering::SeqCst), "no version was gone");
    let folder = world.site.restore("p", "out").join("cluster");
    let text = fs::read_to_string(folder.join("configmaps")).unwrap();
    let names: Vec<&str> = text.lines().filter(|line| line.contains(&format!("\"path\":\"{}/c", world.name))).collect();
    let different: BTreeSet<&str> = names.iter().map(|line| line.split("\"sha256\"").next().unwrap()).collect();
    assert_eq!((names.len(), different.len()), (1200, 1200));
}
