"""The race of databases: see restore-tests/bench, which starts this within the lab, whose MariaDB servers a and b it uses.

Dump and load of tables like sysbench's. Ours goes to an encrypted repository and compares what it has loaded with what it had saved;
mydumper writes plain files. Tools take turns. Nobody encrypts the connection: it is the server's socket.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from bench import MIB, cells, measured, table, turns

DATABASE = "race"
USER, PASSWORD = os.environ["HOURGLASS_LAB_MYSQL_USER"], os.environ["HOURGLASS_LAB_MYSQL_PASSWORD"]
SOURCE, TARGET = os.environ["HOURGLASS_LAB_MARIADB_A_SOCKET"], os.environ["HOURGLASS_LAB_MARIADB_B_SOCKET"]
SETTINGS = "set global innodb_buffer_pool_size = 2 << 30, global innodb_flush_log_at_trx_commit = 2, global innodb_log_file_size = 512 << 20"

CONFIG = """
site: here
locations: {{ primary: {{ url: "file://{place}/repo" }} }}
control: {{ url: "file://{place}/control" }}
capture_key_file: capture.key
operator_key_file: operator.key
state_dir: state
sources:
  data: {{ mysql: {{ socket: "{source}", user: {user}, password_file: password, databases: [{database}], lanes: {lanes} }} }}
  there: {{ mysql: {{ socket: "{target}", user: {user}, password_file: password, lanes: {lanes} }} }}
policies: {{ race: {{ members: {{ data: required }} }} }}
"""


def sql(socket, text):
    """What the stock client prints."""
    command = ["mariadb", "--no-defaults", f"--socket={socket}", f"--user={USER}", "--batch", "--skip-column-names"]
    ran = subprocess.run(command, input=text, env=os.environ | {"MYSQL_PWD": PASSWORD}, capture_output=True, text=True)
    if ran.returncode != 0:
        raise SystemExit(f"{text}: {ran.stderr}")
    return ran.stdout


def make(tables, rows):
    """Tables of `rows` rows each; random digits, as sysbench has them."""
    digits = "lpad(floor(rand() * 1e11), 11, '0')"
    groups = lambda count: "concat_ws('-', " + ", ".join([digits] * count) + ")"
    sql(SOURCE, f"drop database if exists {DATABASE}; create database {DATABASE}")
    for number in range(1, tables + 1):
        name = f"{DATABASE}.sbtest{number}"
        sql(
            SOURCE,
            f"use {DATABASE}; create table {name} (id int unsigned not null auto_increment primary key, k int unsigned not null default 0,"
            f" c char(120) not null default '', pad char(60) not null default '');"
            f"insert into {name} select seq, floor(rand() * {rows}), {groups(10)}, {groups(5)} from seq_1_to_{rows};"
            f"alter table {name} add key k (k); analyze table {name}; purge binary logs before now()",
        )


def sums(socket, tables):
    return sql(socket, "checksum table " + ", ".join(f"{DATABASE}.sbtest{number}" for number in range(1, tables + 1)))


class Tool:
    """A program with its folder; `dump` and `load` are commands."""

    def __init__(self, name, place, dump, load):
        self.name, self.place, self.dump_command, self.load_command = name, place, dump, load

    def begin(self):
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir()

    def run(self, command):
        return measured(command, self.place, os.environ | {"MYSQL_PWD": PASSWORD, "HOME": str(self.place)}, self.place / "log")

    def dump(self):
        self.begin()
        return self.run(self.dump_command)

    def load(self):
        """Loads into an empty server, and has the server compare."""
        sql(TARGET, f"drop database if exists {DATABASE}; reset master")
        sample = self.run(self.load_command)
        if sums(TARGET, self.tables) != self.expected:
            raise SystemExit(f"{self.name} did not load what was dumped")
        return sample


class Hourglass(Tool):
    def begin(self):
        super().begin()
        names = {"place": self.place, "source": SOURCE, "target": TARGET, "user": USER, "database": DATABASE, "lanes": os.cpu_count()}
        (self.place / "hourglass.yaml").write_text(CONFIG.format(**names))
        for folder in ["repo", "control"]:
            (self.place / folder).mkdir()
        password = self.place / "password"
        password.touch(mode=0o600)
        password.write_text(PASSWORD)
        for command in [["init", "--write"], ["keys", "prove"]]:
            self.run(["hourglass", *command])


def tools(work):
    lanes = str(os.cpu_count())
    login = [f"--user={USER}", f"--password={PASSWORD}"]
    place = work / "pipe"
    identity = work / "identity"
    subprocess.run(["age-keygen", "-o", identity], check=True, capture_output=True)
    recipient = subprocess.run(["age-keygen", "-y", identity], check=True, capture_output=True, text=True).stdout.strip()
    pipe = (
        f"mariadb-dump --no-defaults --socket={SOURCE} --user={USER} --single-transaction --quick --databases {DATABASE}"
        f" | zstd -3 --quiet | age --encrypt --recipient {recipient} --output {place}/dump"
    )
    unpipe = f"age --decrypt --identity {identity} {place}/dump | zstd --decompress --quiet | mariadb --no-defaults --socket={TARGET} --user={USER}"
    dumped = work / "mydumper" / "dump"
    return [
        Hourglass("hourglass", work / "hourglass", ["hourglass", "backup", "race", "--quiet"], ["hourglass", "restore", "race", "data", "--into", "there", "--quiet"]),
        Tool(
            "mydumper, myloader",
            work / "mydumper",
            ["mydumper", *login, f"--socket={SOURCE}", f"--threads={lanes}", f"--database={DATABASE}", f"--outputdir={dumped}"],
            ["myloader", *login, f"--socket={TARGET}", f"--threads={lanes}", "--enable-binlog", f"--directory={dumped}"],
        ),
        Tool("mariadb-dump, zstd, age", place, ["bash", "-o", "pipefail", "-c", pipe], ["bash", "-o", "pipefail", "-c", unpipe]),
    ]


def main():
    parser = argparse.ArgumentParser(prog="restore-tests/bench mysql")
    parser.add_argument("--runs", type=int, default=5, help="runs of which the median counts (default 5)")
    parser.add_argument("--tables", type=int, default=8, help="how many (default 8)")
    parser.add_argument("--alone", action="store_true", help="only hourglass, for its memory")
    parser.add_argument("--rows", type=int, default=160_000, help="rows of each table (default 160000, 230 MiB in all)")
    given = parser.parse_args()
    rows = given.rows
    began = time.monotonic()
    for socket in [SOURCE, TARGET]:
        sql(socket, SETTINGS)
    make(given.tables, rows)
    with tempfile.TemporaryDirectory(prefix="hourglass-bench.", dir=os.environ["HOURGLASS_LAB_DIR"]) as folder:
        racers = tools(Path(folder))[: 1 if given.alone else None]
        dumps, loads, stored, expected = {}, {}, {}, sums(SOURCE, given.tables)
        for tool in turns(racers, given.runs):
            tool.expected, tool.tables = expected, given.tables
            dumps.setdefault(tool.name, []).append(tool.dump())
            stored[tool.name] = sum(file.stat().st_size for file in tool.place.rglob("*") if file.is_file())
            loads.setdefault(tool.name, []).append(tool.load())
            shutil.rmtree(tool.place)
        first = racers[0].name
        cost = ["{} s", "ratio", "CPU s", "peak MiB", "others"]
        head = ["tool", *(name.format("dump") for name in cost), "stored MiB", *(name.format("load") for name in cost)]
        lines = [[tool.name, *cells(dumps[tool.name], dumps[first]), f"{stored[tool.name] / MIB:.0f}", *cells(loads[tool.name], loads[first])] for tool in racers]
        table(f"MariaDB, {given.tables} tables of {rows:,} rows like sysbench's", head, lines)
    print(
        f"\nMedians of {given.runs}, tools in turn. Servers and files in memory where it has room. CPU s and peak MiB are the tools' own, without the server's;"
        f" the server is most of others. Loads are checked by the server (CHECKSUM TABLE). {os.cpu_count()} processors, {(time.monotonic() - began) / 60:.0f} min."
    )
    for command in [["mydumper", "--version"], ["mariadb-dump", "--version"], ["hourglass", "--version"]]:
        print(f"- {subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]}")


if __name__ == "__main__":
    main()
