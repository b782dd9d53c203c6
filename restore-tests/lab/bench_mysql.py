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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench_race import COST, MIB, cells, measured, site, table, turns

# Clients that make the data, and rows that each makes at a time.
CLIENTS = 4
STEP = 500_000
# Rows of a table that are made one by one; the rest are copies of them with other keys, because random digits take the server longer than all else.
RANDOM = 2_000_000

DATABASE = "race"
USER, PASSWORD = os.environ["HOURGLASS_LAB_MYSQL_USER"], os.environ["HOURGLASS_LAB_MYSQL_PASSWORD"]
SOURCE, TARGET = os.environ["HOURGLASS_LAB_MARIADB_A_SOCKET"], os.environ["HOURGLASS_LAB_MARIADB_B_SOCKET"]
SETTINGS = "set global innodb_buffer_pool_size = 2 << 30, global innodb_flush_log_at_trx_commit = 2, global innodb_log_file_size = 512 << 20"

LANES = os.cpu_count()
SOURCES = f"""
  data: {{ mysql: {{ socket: "{SOURCE}", user: {USER}, password_file: password, databases: [{DATABASE}], lanes: {LANES} }} }}
  there: {{ mysql: {{ socket: "{TARGET}", user: {USER}, password_file: password, lanes: {LANES} }} }}"""


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
    names = [f"sbtest{number}" for number in range(1, tables + 1)]
    create = (
        "create table {} (id int unsigned not null auto_increment primary key, k int unsigned not null default 0,"
        " c char(120) not null default '', pad char(60) not null default '')"
    )
    insert = f"insert into {{}} select seq, floor(rand() * {rows}), {groups(10)}, {groups(5)} from seq_1_to_{rows} where seq between {{}} and {{}}"
    copy = "insert into {0} select id + {3}, k, reverse(c), pad from {0} where id between {1} and {2}"
    sql(SOURCE, f"drop database if exists {DATABASE}; create database {DATABASE}")
    side_by_side([create.format(name) for name in names])
    made = min(rows, RANDOM)
    side_by_side([insert.format(name, first, min(first + STEP - 1, made)) for first in range(1, made + 1, STEP) for name in names])
    while made < rows:
        more = min(made, rows - made)
        side_by_side([copy.format(name, first, min(first + STEP - 1, more), made) for first in range(1, more + 1, STEP) for name in names])
        made += more
    side_by_side([f"alter table {name} add key k (k); analyze table {name}" for name in names])


def side_by_side(statements):
    """Several clients, each with a share of the statements."""
    one = lambda share: sql(SOURCE, f"set sql_log_bin = 0, tx_isolation = 'READ-COMMITTED'; use {DATABASE};" + ";".join(statements[share::CLIENTS]))
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(one, range(CLIENTS)))


def sums(socket, tables):
    return sql(socket, "checksum table " + ", ".join(f"{DATABASE}.sbtest{number}" for number in range(1, tables + 1)))


class Tool:
    """A program with its folder; `dump` and `load` are commands. One that only reads loads nothing."""

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
        site(self.place, SOURCES, "data", PASSWORD)


def tools(work, tables):
    login = [f"--user={USER}", f"--password={PASSWORD}"]
    place = work / "pipe"
    identity = work / "identity"
    subprocess.run(["age-keygen", "-o", identity], check=True, capture_output=True)
    recipient = subprocess.run(["age-keygen", "-y", identity], check=True, capture_output=True, text=True).stdout.strip()
    client = f"--no-defaults --socket={SOURCE} --user={USER}"
    pipe = (
        f"mariadb-dump {client} --single-transaction --quick --databases {DATABASE}"
        f" | zstd -3 --quiet | age --encrypt --recipient {recipient} --output {place}/dump"
    )
    unpipe = f"age --decrypt --identity {identity} {place}/dump | zstd --decompress --quiet | mariadb --no-defaults --socket={TARGET} --user={USER}"
    read = f"seq {tables} | xargs -P {LANES} -I N mariadb {client} --quick --batch --raw --execute='select * from sbtestN' {DATABASE} >/dev/null"
    dumped = work / "mydumper" / "dump"
    return [
        Hourglass("hourglass", work / "hourglass", ["hourglass", "backup", "race", "--quiet"], ["hourglass", "restore", "race", "data", "--into", "there", "--quiet"]),
        Tool("reading alone", work / "read", ["bash", "-c", read], None),
        Tool(
            "mydumper, myloader",
            work / "mydumper",
            ["mydumper", *login, f"--socket={SOURCE}", f"--threads={LANES}", f"--database={DATABASE}", f"--outputdir={dumped}"],
            ["myloader", *login, f"--socket={TARGET}", f"--threads={LANES}", "--enable-binlog", f"--directory={dumped}"],
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
        racers = tools(Path(folder), given.tables)[: 1 if given.alone else None]
        dumps, loads, stored, expected = {}, {}, {}, sums(SOURCE, given.tables)
        for tool in turns(racers, given.runs):
            tool.expected, tool.tables = expected, given.tables
            dumps.setdefault(tool.name, []).append(tool.dump())
            stored[tool.name] = sum(file.stat().st_size for file in tool.place.rglob("*") if file.is_file())
            if tool.load_command:
                loads.setdefault(tool.name, []).append(tool.load())
            shutil.rmtree(tool.place)
        first = racers[0].name
        head = ["tool", *(name.format("dump") for name in COST), "stored MiB", *(name.format("load") for name in COST)]
        loaded = lambda tool: cells(loads[tool.name], loads[first]) if tool.name in loads else [""] * len(COST)
        lines = [[tool.name, *cells(dumps[tool.name], dumps[first]), f"{stored[tool.name] / MIB:.0f}", *loaded(tool)] for tool in racers]
        table(f"MariaDB, {given.tables} tables of {rows:,} rows like sysbench's", head, lines)
    print(
        f"\nMedians of {given.runs}, tools in turn. Servers and files in memory where it has room. CPU s and peak MiB are the tools' own, without the server's;"
        f" the server is most of others. Loads are checked by the server (CHECKSUM TABLE). {os.cpu_count()} processors, {(time.monotonic() - began) / 60:.0f} min."
    )
    for command in [["mydumper", "--version"], ["mariadb-dump", "--version"], ["hourglass", "--version"]]:
        print(f"- {subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]}")


if __name__ == "__main__":
    main()
