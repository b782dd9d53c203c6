"""The race: see restore-tests/bench, which finds or builds every tool and starts this.

Each run is a cold repository, and the tools take turns, so that a change of the machine meets all of them. Every restore is
compared with its source. Nothing of ours may be cheaper than theirs: encryption on, zstd level 3 (ours takes 1 where that makes chunks hardly
larger), as each tool checks by default.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench_race import COST, MIB, cells, measured, table, turns


@dataclass
class Tool:
    """How to use a backup program. Commands run in the folder above the data; `{place}` is the tool's own empty folder."""

    name: str
    init: list[list[str]]
    backup: list[str]
    restore: list[str]
    env: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    restore_in_target: bool = False


# `{data}` is the name of the data's folder, `{source}` its whole path, `{repo}` and `{target}` where to write.
HOURGLASS = Tool(
    "hourglass",
    init=[["mkdir", "{repo}", "{place}/control"], ["hourglass", "init", "--write", "--config", "{place}/hourglass.yaml"]],
    backup=["hourglass", "backup", "race", "--config", "{place}/hourglass.yaml"],
    restore=["hourglass", "restore", "race", "data", "--to", "{target}", "--config", "{place}/hourglass.yaml"],
    files={
        "hourglass.yaml": """
site: here
locations: { primary: { url: "file://{repo}" } }
control: { url: "file://{place}/control" }
capture_key_file: capture.key
operator_key_file: operator.key
state_dir: state
sources: { data: { files: { path: "{source}" } } }
policies: { race: { members: { data: required } } }
"""
    },
)
RESTIC = Tool(
    "restic",
    init=[["restic", "init"]],
    backup=["restic", "backup", "--quiet", "{data}"],
    restore=["restic", "restore", "--quiet", "latest", "--target", "{target}"],
    env={"RESTIC_REPOSITORY": "{repo}", "RESTIC_PASSWORD": "race", "RESTIC_CACHE_DIR": "{place}/cache", "RESTIC_COMPRESSION": "auto"},
)
RUSTIC = Tool(
    "rustic",
    init=[["rustic", "init", "--set-compression", "3"]],
    backup=["rustic", "backup", "{data}"],
    restore=["rustic", "restore", "latest", "{target}"],
    env={"RUSTIC_REPOSITORY": "{repo}", "RUSTIC_PASSWORD": "race", "RUSTIC_CACHE_DIR": "{place}/cache", "RUSTIC_NO_PROGRESS": "true", "RUSTIC_LOG_LEVEL": "warn"},
)
BORG = Tool(
    "borg",
    init=[["borg", "init", "--encryption=repokey-blake2"]],
    backup=["borg", "create", "--compression=zstd,3", "::{{now:%s%f}}", "{data}"],
    restore=["sh", "-c", 'borg extract "::$(borg list --last 1 --short)"'],
    env={"BORG_REPO": "{repo}", "BORG_PASSPHRASE": "race", "BORG_BASE_DIR": "{place}"},
    restore_in_target=True,
)
# The stages of our pipeline with nothing around them. It knows plain files only, and no second backup.
RAW = Tool(
    "raw limit",
    init=[["mkdir", "{repo}"]],
    backup=["bench-raw", "backup", "{source}", "{repo}", str(os.cpu_count())],
    restore=["bench-raw", "restore", "{repo}", "{target}", str(os.cpu_count())],
)
CASES = ["sql", "random", "files", "memory", "large"]
TOOLS = [HOURGLASS, RAW, RESTIC, RUSTIC, BORG]


class Course:
    """One tool with its repository, on one set of data."""

    def __init__(self, tool, place, source):
        self.tool, self.place, self.source = tool, place, source
        self.repo, self.target = place / "repo", place / "target"
        place.mkdir()
        for name, text in tool.files.items():
            (place / name).write_text(self.fill(text, braces=False))
        self.env = os.environ | {"HOME": str(place)} | {key: self.fill(value) for key, value in tool.env.items()}
        for command in tool.init:
            self.run(command)

    def fill(self, text, braces=True):
        names = {"place": self.place, "repo": self.repo, "target": self.target, "source": self.source, "data": self.source.name}
        if braces:
            return text.format(**names)
        for name, value in names.items():
            text = text.replace("{" + name + "}", str(value))
        return text

    def run(self, command, cwd=None):
        """Runs a command of the tool and measures it with all its children."""
        return measured([self.fill(word) for word in command], cwd or self.source.parent, self.env, self.place / "log")

    def backup(self):
        return self.run(self.tool.backup)

    def restore(self):
        """Restores everything to a new folder and compares it with the source."""
        self.target.mkdir()
        sample = self.run(self.tool.restore, cwd=self.target if self.tool.restore_in_target else None)
        found = next((folder for folder in [self.target, *self.target.rglob(self.source.name)] if (folder / "part-0").exists()), self.target)
        if subprocess.run(["diff", "--recursive", "--brief", self.source, found], check=False).returncode != 0:
            sys.exit(f"{self.tool.name} did not restore what was saved")
        shutil.rmtree(self.target)
        return sample

    def stored(self):
        """Bytes of the repository."""
        return sum(file.stat().st_size for file in self.repo.rglob("*") if file.is_file())


def make(kind, folder, size):
    """Makes data in a process of its own: a large parent would be counted as memory of its children."""
    subprocess.run([sys.executable, Path(__file__).with_name("bench_data.py"), kind, folder, str(size)], check=True)
    return folder


def cold(kind, title, tools, runs, size, work):
    """Backup to a new repository and restore from it."""
    source = make(kind, work / "data", size)
    backups, restores, stored = {}, {}, {}
    for tool in turns(tools, runs):
        course = Course(tool, work / tool.name, source)
        backups.setdefault(tool.name, []).append(course.backup())
        stored[tool.name] = course.stored()
        restores.setdefault(tool.name, []).append(course.restore())
        shutil.rmtree(course.place)
    shutil.rmtree(source)
    first = tools[0].name
    head = ["tool", *(name.format("backup") for name in COST), "stored MiB", *(name.format("restore") for name in COST)]
    rows = [
        [tool.name, *cells(backups[tool.name], backups[first]), f"{stored[tool.name] / MIB:.0f}", *cells(restores[tool.name], restores[first])]
        for tool in tools
    ]
    table(title, head, rows)


def unchanged(tools, runs, count, work):
    """A second backup when nothing has changed."""
    tools = [tool for tool in tools if tool is not RAW]
    source = make("small", work / "data", count)
    courses = {tool.name: Course(tool, work / tool.name, source) for tool in tools}
    firsts = {name: [course.backup()] for name, course in courses.items()}
    seconds = {}
    for tool in turns(tools, runs):
        seconds.setdefault(tool.name, []).append(courses[tool.name].backup())
    head = ["tool", *(name.format("first backup") for name in COST), *(name.format("second backup") for name in COST)]
    first = tools[0].name
    rows = [[tool.name, *cells(firsts[tool.name], firsts[first]), *cells(seconds[tool.name], seconds[first])] for tool in tools]
    table(f"{count:,} small files, the second backup with none changed", head, rows)
    for folder in [source, *(course.place for course in courses.values())]:
        shutil.rmtree(folder)


def destroyed(tools, size, work):
    """One file, which is gone before it is restored: there need not be room for two."""
    source = make("large", work / "data", size)
    rows = []
    for tool in tools:
        course = Course(tool, work / tool.name, source)
        before, backup = digest(source / "part-0"), course.backup()
        shutil.rmtree(source)
        course.target.mkdir()
        restore = course.run(tool.restore, cwd=course.target if tool.restore_in_target else None)
        if digest(next(course.target.rglob("part-0"))) != before:
            sys.exit(f"{tool.name} did not restore what was saved")
        rows.append([tool.name, f"{course.stored() / MIB:.0f}", *cells([backup], [backup]), *cells([restore], [restore])])
        shutil.rmtree(course.place)
    head = ["tool", "stored MiB", *(name.format("backup") for name in COST), *(name.format("restore") for name in COST)]
    table(f"One file of {size // MIB} MiB, on disk, once", head, rows)


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main():
    parser = argparse.ArgumentParser(prog="restore-tests/bench")
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="default: all")
    parser.add_argument("--runs", type=int, default=5, help="runs of which the median counts (default 5)")
    parser.add_argument("--tools", default=",".join(tool.name for tool in TOOLS), help="default: %(default)s; ratios are to the first")
    parser.add_argument("--small", action="store_true", help="a sixteenth of the data, a hundredth of the files")
    given = parser.parse_args()
    cases = given.cases or CASES
    tools = [tool for name in given.tools.split(",") for tool in TOOLS if tool.name == name]
    gib = (1 << 30) // (16 if given.small else 1)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hourglass-bench.", dir="/dev/shm") as fast:
        if "sql" in cases:
            cold("sql", f"{gib // MIB} MiB like a database dump, in 8 files", tools, given.runs, gib, Path(fast))
        if "random" in cases:
            cold("random", f"{gib // MIB} MiB of random bytes, in 8 files", tools, given.runs, gib, Path(fast))
        if "files" in cases:
            unchanged(tools, given.runs, 10_000 if given.small else 1_000_000, Path(fast))
    if "memory" in cases:
        # Not in memory: data, repository and target together would not fit. One run, because times are not the point.
        with tempfile.TemporaryDirectory(prefix="hourglass-bench.") as slow:
            cold("sql", f"{10 * gib // MIB} MiB like a database dump, on disk, once: peak memory", tools, 1, 10 * gib, Path(slow))
    if "large" in cases:
        with tempfile.TemporaryDirectory(prefix="hourglass-bench.") as slow:
            destroyed(tools[:1], 20 * gib, Path(slow))
    model = next(line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    print(
        f"\nMedians of {given.runs}, tools in turn, cold repository each time, every restore compared with its source. Data, repository and target"
        f" in memory (tmpfs) unless said: no tool waits for a disk, and syncing costs nothing. zstd level 3 (Hourglass: 1 where that makes chunks hardly larger) and encryption everywhere. Ratio: seconds"
        f" of the tool / seconds of {tools[0].name}. Peak MiB is the worst of the runs. Others: share of a processor that other programs used meanwhile."
        f" {os.cpu_count()} x {model}. {(time.monotonic() - began) / 60:.0f} min."
    )
    for tool, version in {"restic": "version", "rustic": "--version", "borg": "--version", "hourglass": "--version"}.items():
        if tool in [chosen.name for chosen in tools]:
            print(f"- {subprocess.run([tool, version], capture_output=True, text=True, check=True).stdout.splitlines()[0]}")


if __name__ == "__main__":
    main()
