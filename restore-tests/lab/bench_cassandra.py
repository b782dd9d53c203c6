#!/usr/bin/env python3
"""The race with Cassandra's own ways of unloading and loading rows: see restore-tests/bench, which starts the cluster and this.

One node of 5.0 with TLS and a client certificate, one replica. The tools take turns. Hourglass writes an encrypted repository and reads
back what it has loaded; the others write CSV files and do not compare anything. Every load is counted afterwards.
"""

import argparse
import os
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

lab = {name.removeprefix("HOURGLASS_LAB_"): value for name, value in os.environ.items() if name.startswith("HOURGLASS_LAB_")}
sys.path.insert(0, lab["CQLSH"])

from cassandra.auth import PlainTextAuthProvider  # noqa: E402
from cassandra.cluster import Cluster  # noqa: E402
from cassandra.concurrent import execute_concurrent_with_args  # noqa: E402

ADDRESS, PORT, USER, PASSWORD, TLS = lab["CASSANDRA_DR"], lab["CASSANDRA_PORT"], lab["CASSANDRA_USER"], lab["CASSANDRA_PASSWORD"], lab["TLS"]
TABLE = "(pk text, ck int, v text, n bigint, m frozen<map<text, int>>, ts timestamp, PRIMARY KEY (pk, ck))"
# COPY knows no times and DSBulk none of collections: each tool unloads all that it can.
COLUMNS = "pk, ck, v, n, m, ts"
WORDS = ["settlement", "throttled", "subscription", "catalogue", "developer", "organisation", "gateway", "quota"]


def connect():
    tls = ssl.create_default_context(cafile=f"{TLS}/ca.crt")
    tls.load_cert_chain(f"{TLS}/client.crt", f"{TLS}/client.key")
    cluster = Cluster([ADDRESS], port=int(PORT), ssl_context=tls, ssl_options={"server_hostname": ADDRESS}, auth_provider=PlainTextAuthProvider(USER, PASSWORD))
    session = cluster.connect()
    session.default_timeout = 300
    return session


def make(session, keyspace):
    session.execute(f"DROP KEYSPACE IF EXISTS {keyspace}")
    session.execute(f"CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'NetworkTopologyStrategy', 'dr1': 1}}")
    session.execute(f"CREATE TABLE {keyspace}.t {TABLE}")


def row(number, wide):
    words = [WORDS[(number * 7 + n * n) % len(WORDS)] for n in range(12)]
    text = f"{' '.join(words)} {number * 2654435761 % 2**32:08x} {number * 40503 % 2**20:05x}"
    life = 30 * 86400 if number % 4 == 0 else 0
    place = ("partition", number) if wide else (f"partition-{number // 20}", number % 20)
    return (*place, text, number, {"a": number % 100, "b": 7}, 1_700_000_000_000 + number, 1_600_000_000_000_000 + number, life)


def fill(session, rows, wide):
    make(session, "race")
    insert = session.prepare(f"INSERT INTO race.t ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?")
    for first in range(0, rows, 10_000):
        waiting = [row(number, wide) for number in range(first, min(first + 10_000, rows))]
        # A node that is busy may be late with some.
        for _ in range(20):
            ended = execute_concurrent_with_args(session, insert, waiting, concurrency=100, raise_on_first_error=False)
            waiting = [values for values, (done, _) in zip(waiting, ended) if not done]
            if not waiting:
                break
        else:
            sys.exit("the node does not take the rows of the race")


def measured(command, place, env=None):
    """Seconds, and MiB of the largest process."""
    log, began = place / "log", time.monotonic()
    with open(log, "wb") as out:
        child = subprocess.Popen([str(word) for word in command], cwd=place, env=os.environ | (env or {}), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{command}: exit status {child.returncode}\n{log.read_text(errors='replace')[-3000:]}")
    return time.monotonic() - began, used.ru_maxrss / 1024


def hourglass(place, session):
    (place / "password").write_text(PASSWORD)
    os.chmod(place / "password", 0o600)
    (place / "repo").mkdir()
    (place / "control").mkdir()
    (place / "hourglass.yaml").write_text(f"""
site: here
locations: {{ primary: {{ url: "file://{place}/repo" }} }}
control: {{ url: "file://{place}/control" }}
capture_key_file: capture.key
operator_key_file: operator.key
state_dir: state
sources:
  kps:
    cassandra:
      contact_points: ["{ADDRESS}"]
      port: {PORT}
      user: {USER}
      password_file: password
      tls: {{ ca_file: "{TLS}/ca.crt", cert_file: "{TLS}/client.crt", key_file: "{TLS}/client.key" }}
      keyspaces: {{ include: [race] }}
      restore: {{ skip_roles: true }}
policies: {{ race: {{ members: {{ kps: required }} }} }}
""")
    measured(["hourglass", "init", "--write"], place)
    measured(["hourglass", "keys", "prove"], place)
    unload = measured(["hourglass", "backup", "race", "--quiet"], place)
    session.execute("DROP KEYSPACE IF EXISTS race_back")
    return unload, measured(["hourglass", "restore", "race", "kps", "--into", "kps", "--rename", "race=race_back", "--quiet"], place)


def dsbulk(place, session):
    secret = "laboratory"
    export = ["openssl", "pkcs12", "-export", "-inkey", f"{TLS}/client.key", "-in", f"{TLS}/client.crt", "-out", place / "key.p12", "-passout", f"pass:{secret}"]
    subprocess.run(export, check=True)
    trust = ["keytool", "-importcert", "-noprompt", "-alias", "ca", "-file", f"{TLS}/ca.crt", "-keystore", place / "trust.p12", "-storetype", "PKCS12", "-storepass", secret]
    subprocess.run(trust, check=True, capture_output=True)
    tls = "--datastax-java-driver.advanced.ssl-engine-factory"
    common = ["-h", ADDRESS, "--datastax-java-driver.basic.default-port", PORT, "-u", USER, "-p", PASSWORD, "-t", "t", "-timestamp", "true", "-ttl", "true", "--log.directory", place / "logs"]
    common += [f"{tls}.class", "DefaultSslEngineFactory", f"{tls}.hostname-validation", "false", f"{tls}.truststore-path", place / "trust.p12"]
    common += [f"{tls}.truststore-password", secret, f"{tls}.keystore-path", place / "key.p12", f"{tls}.keystore-password", secret]
    java = ["java", "-Xmx1g", "-cp", f"{os.environ['HOURGLASS_DSBULK']}/lib/*", "com.datastax.oss.dsbulk.runner.DataStaxBulkLoader"]
    unload = measured([*java, "unload", "-k", "race", "-url", place / "rows", *common], place)
    make(session, "race_back")
    return unload, measured([*java, "load", "-k", "race_back", "-url", place / "rows", *common], place)


def cqlsh(place, session):
    (place / "cqlshrc").write_text(f"[ssl]\ncertfile = {TLS}/ca.crt\nuserkey = {TLS}/client.key\nusercert = {TLS}/client.crt\nvalidate = true\n")
    command = [sys.executable, f"{lab['CQLSH']}/bin/cqlsh", "--ssl", "--cqlshrc", place / "cqlshrc", "-u", USER, "-p", PASSWORD, ADDRESS, PORT, "-e"]
    env = {"PYTHONPATH": lab["CQLSH"]}
    unload = measured([*command, f"COPY race.t ({COLUMNS}) TO 'rows.csv' WITH NUMPROCESSES=2"], place, env)
    make(session, "race_back")
    return unload, measured([*command, f"COPY race_back.t ({COLUMNS}) FROM 'rows.csv' WITH NUMPROCESSES=2"], place, env)


def main():
    parser = argparse.ArgumentParser(prog="restore-tests/bench cassandra")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--wide", action="store_true", help="all rows in one partition, and only hourglass, for its memory")
    given = parser.parse_args()
    session = connect()
    fill(session, given.rows, given.wide)
    tools = {"hourglass": hourglass, "dsbulk 1.10.0": dsbulk, "cqlsh 6.2.2 COPY": cqlsh}
    tools = dict(list(tools.items())[: 1 if given.wide else None])
    samples = {name: [] for name in tools}
    for run in range(given.runs):
        names = list(tools)
        for name in names[run % len(names) :] + names[: run % len(names)]:
            with tempfile.TemporaryDirectory(prefix="hourglass-race.", dir="/dev/shm") as folder:
                samples[name].append(tools[name](Path(folder), session))
            there = sum(1 for _ in session.execute("SELECT pk FROM race_back.t"))
            if there != given.rows:
                sys.exit(f"{name} has loaded {there} of {given.rows} rows")
            print(f"{name}: unload {samples[name][-1][0][0]:.2f} s, load {samples[name][-1][1][0]:.2f} s", file=sys.stderr)
            # What the last one left to be compacted is not the next one's.
            session.execute("DROP KEYSPACE race_back")
            time.sleep(5)
    print("\n| tool | unload s | ratio | peak MiB | load s | ratio | peak MiB |\n|---|---|---|---|---|---|---|")
    first = None
    for name, runs in samples.items():
        walls = [statistics.median(run[way][0] for run in runs) for way in (0, 1)]
        peaks = [max(run[way][1] for run in runs) for way in (0, 1)]
        first = first or walls
        cells = [f"{wall:.2f} | {wall / base:.2f} | {peak:.0f}" for wall, base, peak in zip(walls, first, peaks)]
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"\nMedians of {given.runs}, {given.rows:,} rows.")
    session.execute("DROP KEYSPACE race")
    os._exit(0)


if __name__ == "__main__":
    main()
