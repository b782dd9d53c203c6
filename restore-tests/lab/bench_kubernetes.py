"""Objects against the raw rate of the same API servers: see restore-tests/bench, which starts this within the lab, whose control planes a and b it uses.

Raw is curl, with as many requests at a time as ours: it lists all pages of a and keeps nothing, and makes every Secret in b and compares nothing.
Ours captures into an encrypted repository, applies, and reads everything back to compare it. Both take turns; the last apply is killed half way and
gone on with.
"""

import argparse
import base64
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from bench_race import site, table

AT_ONCE = 32
PLANES = {name: Path(os.environ[f"HOURGLASS_LAB_KUBECONFIG_{name.upper()}"]) for name in "ab"}
KUBECTL = f"{os.environ['HOURGLASS_LAB_KUBERNETES']}/kubectl"

SOURCES = f"""
  cluster: {{ kubernetes: {{ kubeconfig: "{PLANES["a"]}", namespaces: ["ours*"] }} }}
  spare: {{ kubernetes: {{ kubeconfig: "{PLANES["b"]}", restore: {{ secrets: [{{ secrets: "*/*", class: carry }}] }} }} }}"""


def kubectl(plane, *words):
    return subprocess.run([KUBECTL, "--kubeconfig", PLANES[plane], *words], capture_output=True, text=True, check=True).stdout


def login(plane):
    """Words for curl: where the server is, and who we are."""
    view = json.loads(kubectl(plane, "config", "view", "--raw", "--minify", "--output=json"))
    cluster, user = view["clusters"][0]["cluster"], view["users"][0]["user"]
    words, place = ["--silent", "--show-error", "--fail"], PLANES[plane].parent
    ca = place / "bench-ca.pem"
    ca.write_bytes(base64.b64decode(cluster["certificate-authority-data"]) if "certificate-authority-data" in cluster else Path(cluster["certificate-authority"]).read_bytes())
    return cluster["server"], [*words, "--cacert", str(ca), "--header", f"Authorization: Bearer {user['token']}"]


def raw_make(plane, namespace, count, work):
    """Makes Secrets; how long that took."""
    server, words = login(plane)
    config = work / "curl"
    with open(config, "w") as out:
        for number in range(count):
            data = {"word": base64.b64encode(os.urandom(1024)).decode()}
            body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"s{number}", "namespace": namespace}, "data": data}
            path = f"/api/v1/namespaces/{namespace}/secrets"
            common = "".join(f"{word[2:]}\n" if not value else f"{word[2:]} = {json.dumps(value)}\n" for word, value in pairs(words))
            out.write(f"{'next' if number else ''}\n{common}url = {json.dumps(server + path)}\nrequest = POST\noutput = /dev/null\n")
            out.write(f"header = \"Content-Type: application/json\"\ndata-raw = {json.dumps(json.dumps(body))}\n")
    kubectl(plane, "create", "namespace", namespace)
    began = time.monotonic()
    subprocess.run(["curl", "--no-progress-meter", "--parallel", "--parallel-immediate", "--parallel-max", str(AT_ONCE), "--config", config], check=True)
    return time.monotonic() - began


def pairs(words):
    """Options of curl with their values."""
    found, left = [], list(words)
    while left:
        word = left.pop(0)
        found.append((word, left.pop(0) if left and not left[0].startswith("--") else ""))
    return found


def raw_list(plane, work):
    """Lists all Secrets page by page; how long that took."""
    server, words = login(plane)
    began, more = time.monotonic(), ""
    while True:
        subprocess.run(["curl", *words, "--get", f"{server}/api/v1/secrets", "--data", "limit=500", "--data-urlencode", f"continue={more}", "--output", work / "page"], check=True)
        more = json.loads((work / "page").read_text())["metadata"].get("continue", "")
        if not more:
            return time.monotonic() - began


def there(namespace):
    """How many of the Secrets there are."""
    return kubectl("b", "get", "secrets", f"--namespace={namespace}", "--output=name").count("\n")


def killed(words, namespace, count, work, env):
    """Begins a restore, kills it when half of it is there, and goes on; how many were there when it died."""
    child = subprocess.Popen(["hourglass", *words], cwd=work, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while child.poll() is None and (not kubectl("b", "get", "namespace", namespace, "--ignore-not-found") or there(namespace) < count // 3):
        time.sleep(0.2)
    child.kill()
    child.wait()
    half = there(namespace)
    runs = json.loads(subprocess.run(["hourglass", "--output", "json", "runs", "list"], cwd=work, env=env, capture_output=True, text=True, check=True).stdout)
    run = next(run["run"] for run in runs["data"]["runs"] if run["phase"] != "ended")
    subprocess.run(["hourglass", "runs", "resume", run], cwd=work, env=env, check=True)
    return half


def main():
    parser = argparse.ArgumentParser(prog="restore-tests/bench kubernetes")
    parser.add_argument("--count", type=int, default=31_000, help="Secrets (default 31000)")
    parser.add_argument("--runs", type=int, default=3, help="applies of each (default 3)")
    args = parser.parse_args()
    count = args.count
    with tempfile.TemporaryDirectory(prefix="hourglass-bench.", dir=os.environ["HOURGLASS_LAB_DIR"]) as folder:
        work = Path(folder)
        raw_make("a", "ours", count, work)
        env, run = os.environ | {"HOME": str(work)}, site(work, SOURCES, "cluster", "")
        listed, captured = raw_list("a", work), run("backup", "race", "--quiet")
        made, restored = [], []
        restore = lambda name: ["restore", "race", "cluster", "ours", "--into", "spare", "--rename", f"ours={name}", "--quiet"]
        for number in range(args.runs):
            # Ours comes first: it lists what is there, and raw does not.
            restored.append(run(*restore(f"ours-{number}")))
            assert there(f"ours-{number}") == count
            made.append(raw_make("b", f"raw-{number}", count, work))
            kubectl("b", "delete", "namespace", f"raw-{number}", f"ours-{number}")
        half = killed(restore("ours-killed"), "ours-killed", count, work, env)
        assert 0 < half < count, f"it was killed at the wrong moment: {half}"
        assert there("ours-killed") == count
    raw, ours = statistics.median(made), statistics.median(run.wall for run in restored)
    rows = [
        ["list, raw", f"{listed:.1f}", f"{count / listed:.0f}", ""],
        ["capture", f"{captured.wall:.1f}", f"{count / captured.wall:.0f}", f"{captured.rss / 1024:.0f}"],
        ["make, raw", f"{raw:.1f}", f"{count / raw:.0f}", ""],
        ["apply and compare", f"{ours:.1f}", f"{count / ours:.0f}", f"{max(run.rss for run in restored) / 1024:.0f}"],
    ]
    table(f"{count} Secrets of 1 KiB, medians of {args.runs}", ["", "s", "objects/s", "MiB"], rows)
    print(f"apply and compare at {100 * raw / ours:.0f} % of the raw rate; each: raw {made}, ours {[run.wall for run in restored]}; killed when {half} were there, and gone on with")


if __name__ == "__main__":
    main()
