#!/usr/bin/env python3
"""The race with Cassandra's own ways of unloading and loading rows: see restore-tests/bench, which starts the cluster and this.

One node of 5.0 with TLS and a client certificate, one replica. The tools take turns. Hourglass writes an encrypted repository and reads
back what it has loaded; the others write CSV files and do not compare anything. Every load is counted afterwards.
"""

import argparse
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_race import COST, after_writing, cells, measured, median, site, table, turns

lab = {name.removeprefix("HOURGLASS_LAB_"): value for name, value in os.environ.items() if name.startswith("HOURGLASS_LAB_")}
sys.path.insert(0, lab["CQLSH"])

from cassandra.auth import PlainTextAuthProvider  # noqa: E402
from cassandra.cluster import Cluster  # noqa: E402
from cassandra.concurrent import execute_concurrent  # noqa: E402
from cassandra.query import BatchStatement, BatchType  # noqa: E402

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
    """Writes the rows of a partition together; a node that is busy may be late with some, so they are written again."""
    make(session, "race")
    insert = session.prepare(f"INSERT INTO race.t ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?")
    for first in range(0, rows, 20_000):
        batches = []
        for start in range(first, min(first + 20_000, rows), 20):
            batch = BatchStatement(BatchType.UNLOGGED)
            for number in range(start, min(start + 20, rows)):
                batch.add(insert, row(number, wide))
            batches.append((batch, None))
        for _ in range(20):
            ended = execute_concurrent(session, batches, concurrency=32, raise_on_first_error=False)
            batches = [batch for batch, (done, _) in zip(batches, ended) if not done]
            if not batches:
                break
        else:
            sys.exit("the node does not take the rows of the race")


SOURCES = f"""
  kps:
    cassandra:
      contact_points: ["{ADDRESS}"]
      port: {PORT}
      user: {USER}
      password_file: password
      tls: {{ ca_file: "{TLS}/ca.crt", cert_file: "{TLS}/client.crt", key_file: "{TLS}/client.key" }}
      keyspaces: {{ include: [race] }}
      restore: {{ skip_roles: true }}"""


# Seconds of each of our loads after the last row was written.
comparing = []


def run(command, place, env=None):
    return measured(command, place, os.environ | (env or {}), place / "log")


def hourglass(place, session):
    ours = site(place, SOURCES, "kps", PASSWORD)
    unload = ours("backup", "race", "--quiet")
    session.execute("DROP KEYSPACE IF EXISTS race_back")
    load = ours("restore", "race", "kps", "--into", "kps", "--rename", "race=race_back", "--quiet")
    comparing.append(after_writing(place))
    return unload, load


def reading(place, session):
    """The driver that ours uses, reading what ours reads, and nothing else."""
    told = [column for name in ["v", "n", "m", "ts"] for column in [name, f"WRITETIME({name})", f"TTL({name})"]]
    command = ["bench-raw-cassandra", ADDRESS, PORT, USER, TLS, "race.t", ", ".join(["pk", "ck", *told])]
    return run(command, place, {"CASSANDRA_PASSWORD": PASSWORD}), None


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
    unload = run([*java, "unload", "-k", "race", "-url", place / "rows", *common], place)
    make(session, "race_back")
    return unload, run([*java, "load", "-k", "race_back", "-url", place / "rows", *common], place)


def cqlsh(place, session):
    (place / "cqlshrc").write_text(f"[ssl]\ncertfile = {TLS}/ca.crt\nuserkey = {TLS}/client.key\nusercert = {TLS}/client.crt\nvalidate = true\n")
    command = [sys.executable, f"{lab['CQLSH']}/bin/cqlsh", "--ssl", "--cqlshrc", place / "cqlshrc", "-u", USER, "-p", PASSWORD, ADDRESS, PORT, "-e"]
    env = {"PYTHONPATH": lab["CQLSH"]}
    unload = run([*command, f"COPY race.t ({COLUMNS}) TO 'rows.csv' WITH NUMPROCESSES=2"], place, env)
    make(session, "race_back")
    return unload, run([*command, f"COPY race_back.t ({COLUMNS}) FROM 'rows.csv' WITH NUMPROCESSES=2"], place, env)


def main():
    parser = argparse.ArgumentParser(prog="restore-tests/bench cassandra")
    parser.add_argument("--runs", type=int, default=5, help="runs of which the median counts (default 5)")
    parser.add_argument("--rows", type=int, default=500_000, help="how many (default 500000)")
    parser.add_argument("--wide", action="store_true", help="all rows in one partition, and only hourglass, for its memory")
    given = parser.parse_args()
    session = connect()
    fill(session, given.rows, given.wide)
    tools = {"hourglass": hourglass, "reading alone": reading, "DSBulk 1.10.0": dsbulk, "cqlsh 6.2.2 COPY": cqlsh}
    names = list(tools)[: 1 if given.wide else None]
    unloads, loads = {}, {}
    for name in turns(names, given.runs):
        with tempfile.TemporaryDirectory(prefix="hourglass-race.", dir=lab["DIR"]) as folder:
            unload, load = tools[name](Path(folder), session)
        unloads.setdefault(name, []).append(unload)
        if load is None:
            continue
        loads.setdefault(name, []).append(load)
        there = sum(1 for _ in session.execute("SELECT pk FROM race_back.t"))
        if there != given.rows:
            sys.exit(f"{name} has loaded {there} of {given.rows} rows")
        # What the last one left to be compacted is not the next one's.
        session.execute("DROP KEYSPACE race_back")
        time.sleep(5)
    loaded = lambda name: cells(loads[name], loads[names[0]]) if name in loads else [""] * len(COST)
    head = ["tool", *(name.format("unload") for name in COST), *(name.format("load") for name in COST)]
    lines = [[name, *cells(unloads[name], unloads[names[0]]), *loaded(name)] for name in names]
    table(f"Cassandra, {given.rows:,} rows", head, lines)
    print(f"\nMedians of {given.runs}, tools in turn; the node is most of others. {os.cpu_count()} processors.")
    back = statistics.median(comparing)
    writing = median(loads["hourglass"], "wall") - back
    ratios = ", ".join(f"{name} {median(loads[name], 'wall') / writing:.2f}" for name in loads if name != "hourglass")
    print(f"Reading back and comparing are {back:.2f} s of hourglass's load; without, its {writing:.2f} s are the 1 of: {ratios}")
    session.execute("DROP KEYSPACE race")
    sys.stdout.flush()
    # Threads of the driver would wait.
    os._exit(0)


if __name__ == "__main__":
    main()
