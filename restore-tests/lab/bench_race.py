"""What the races share: how a command is measured, in which order tools run, the tables, and a site of ours that protects one source."""

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

MIB = 1 << 20

# A process begins with the memory of the one that starts it, which counts as its own peak: this one is small.
LAUNCHER = """
import json, os, sys, time
began = time.monotonic()
_, status, used = os.wait4(os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ), 0)
with open(sys.argv[1], "w") as report:
    json.dump([time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss], report)
sys.exit(os.waitstatus_to_exitcode(status) & 255)
"""

# `place` is the folder of the configuration.
CONFIG = """
site: here
locations: {{ primary: {{ url: "file://{place}/repo" }} }}
control: {{ url: "file://{place}/control" }}
capture_key_file: capture.key
operator_key_file: operator.key
state_dir: state
sources:{sources}
policies: {{ race: {{ members: {{ {member}: required }} }} }}
"""


@dataclass
class Sample:
    """What one command cost: seconds, seconds of all processors, KiB, and the share of a processor that others used."""

    wall: float
    cpu: float
    rss: int
    others: float


def busy():
    """Seconds that the processors of this machine have worked since it started."""
    ticks = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def measured(command, cwd, env, log):
    """Runs a command and measures it with all its children."""
    report, command = log.with_suffix(".json"), [str(word) for word in command]
    worked = busy()
    with open(log, "wb") as out:
        launch = [sys.executable, "-S", "-c", LAUNCHER, report, *command]
        status = subprocess.run(launch, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False).returncode
    worked = busy() - worked
    if status != 0:
        sys.exit(f"{' '.join(command)}: exit status {status}\n{log.read_text(errors='replace')[-3000:]}")
    wall, cpu, rss = json.loads(report.read_text())
    report.unlink()
    return Sample(wall, cpu, rss, max(0.0, worked - cpu) / wall)


def site(place, sources, member, password):
    """A site of ours in `place` that protects `member` of these sources; runs a command of ours, measured."""
    (place / "hourglass.yaml").write_text(CONFIG.format(place=place, sources=sources, member=member))
    for folder in ["repo", "control"]:
        (place / folder).mkdir()
    (place / "password").touch(mode=0o600)
    (place / "password").write_text(password)
    run = lambda *words: measured(["hourglass", *words], place, os.environ | {"HOME": str(place)}, place / "log")
    for words in [["init", "--write"], ["keys", "prove"]]:
        run(*words)
    return run


def after_writing(place):
    """Seconds of our restore in `place` after everything was written, as its journal says: it is read back and compared."""
    records = [json.loads(path.read_text().split("\n", 1)[0]) for path in sorted((place / "control/runs").glob("*/*.json"))]
    restores = {record["run"] for record in records if record["event"].get("plan", {}).get("what", "").startswith("restore ")}
    (restore,) = restores
    when = lambda kind: [datetime.fromisoformat(record["written"]) for record in records if record["run"] == restore and record["event"]["kind"] == kind][-1]
    return (when("step-ended") - when("checkpoint")).total_seconds()


def turns(tools, runs):
    """Every tool once per run, each run beginning with another one."""
    return [tools[(run + n) % len(tools)] for run in range(runs) for n in range(len(tools))]


def median(samples, what):
    return statistics.median(getattr(sample, what) for sample in samples)


def table(title, head, rows):
    print(f"\n### {title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    sys.stdout.flush()


def cells(samples, first):
    """Median wall, ratio to the first tool, processor seconds, peak memory, and the load by others while measuring."""
    wall = median(samples, "wall")
    return [
        f"{wall:.2f}",
        f"{wall / median(first, 'wall'):.2f}",
        f"{median(samples, 'cpu'):.1f}",
        f"{max(sample.rss for sample in samples) / 1024:.0f}",
        f"{median(samples, 'others') * 100:.0f} %",
    ]


COST = ["{} s", "ratio", "CPU s", "peak MiB", "others"]
