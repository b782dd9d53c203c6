"""Objects against the raw rate of the same API servers: see restore-tests/bench, which starts this within the lab, whose control planes a and b it uses.

Raw is curl, with as many requests at a time as ours: it lists all pages of a and keeps nothing, and applies every Secret to b and compares nothing.
Ours captures into an encrypted repository, applies, and reads everything back to compare it.
"""

import argparse
import base64
import json
import os
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


def raw_apply(plane, namespace, count, work):
    """Applies Secrets; how long that took."""
    server, words = login(plane)
    config = work / "curl"
    with open(config, "w") as out:
        for number in range(count):
            data = {"word": base64.b64encode(os.urandom(1024)).decode()}
            body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"s{number}", "namespace": namespace}, "data": data}
            path = f"/api/v1/namespaces/{namespace}/secrets/s{number}?fieldManager=raw&force=true"
            common = "".join(f"{word[2:]}\n" if not value else f"{word[2:]} = {json.dumps(value)}\n" for word, value in pairs(words))
            out.write(f"{'next' if number else ''}\n{common}url = {json.dumps(server + path)}\nrequest = PATCH\noutput = /dev/null\n")
            out.write(f"header = \"Content-Type: application/apply-patch+yaml\"\ndata-raw = {json.dumps(json.dumps(body))}\n")
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


def main():
    parser = argparse.ArgumentParser(prog="restore-tests/bench kubernetes")
    parser.add_argument("--count", type=int, default=31_000, help="Secrets (default 31000)")
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory(prefix="hourglass-bench.", dir=os.environ["HOURGLASS_LAB_DIR"]) as folder:
        work = Path(folder)
        raw_apply("a", "ours", count, work)
        listed, applied = raw_list("a", work), raw_apply("b", "raw", count, work)
        run = site(work, SOURCES, "cluster", "")
        captured = run("backup", "race", "--quiet")
        restored = run("restore", "race", "cluster", "ours", "--into", "spare", "--quiet")
        there = kubectl("b", "get", "secrets", "--namespace=ours", "--output=name").count("\n")
        assert there == count, f"{there} of {count}"
    rows = [
        ["list, raw", f"{listed:.1f}", f"{count / listed:.0f}", ""],
        ["capture", f"{captured.wall:.1f}", f"{count / captured.wall:.0f}", f"{captured.rss / 1024:.0f}"],
        ["apply, raw", f"{applied:.1f}", f"{count / applied:.0f}", ""],
        ["apply and compare", f"{restored.wall:.1f}", f"{count / restored.wall:.0f}", f"{restored.rss / 1024:.0f}"],
    ]
    table(f"{count} Secrets of 1 KiB", ["", "s", "objects/s", "MiB"], rows)


if __name__ == "__main__":
    main()
