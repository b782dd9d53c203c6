"""Makes the data of the benchmarks: the same bytes for the same seed. Run as: bench_data.py KIND FOLDER SIZE"""

import os
import random
import sys
from itertools import accumulate
from multiprocessing import Pool

FILES = 8


def vocabulary():
    """Words with the frequencies of a language: the n-th is used about 1/n as often as the first."""
    dice = random.Random(1)
    words = ["".join(dice.choices("etaoinshrdlucmfw", k=dice.randint(2, 11))) for _ in range(20_000)]
    return words, list(accumulate((n + 1) ** -1.08 for n in range(len(words))))


def sql(path, size, seed):
    """Rows as mysqldump writes them: identifiers, addresses, JSON and text, zstd 3 makes them 3.2 times smaller."""
    dice, (words, weights) = random.Random(seed), vocabulary()
    written, row = 0, seed * 10_000_000
    with open(path, "w", encoding="ascii", buffering=1 << 20) as out:
        while written < size:
            rows = []
            for _ in range(2_000):
                row += 1
                text = dice.choices(words, cum_weights=weights, k=36)
                u, n = dice.randbytes(16).hex(), dice.getrandbits(64)
                rows.append(
                    f"({row},'{u[:8]}-{u[8:12]}-{u[12:16]}-{u[16:20]}-{u[20:]}','{text[0]}.{text[1]}{n % 997}@example.com',"
                    f"'10.{n >> 8 & 255}.{n >> 16 & 255}.{n >> 24 & 255}','2026-{n % 12 + 1:02}-{n % 28 + 1:02} {n % 24:02}:{n % 60:02}:{n % 59:02}',"
                    f'\'{{\\"plan\\":\\"{("free", "team", "enterprise")[n % 3]}\\",\\"calls\\":{n % 100_000},\\"scope\\":\\"{text[2]}\\",\\"active\\":true}}\','
                    f"'{' '.join(text[3:])}')"
                )
            statement = "INSERT INTO `subscriptions` VALUES " + ",".join(rows) + ";\n"
            out.write(statement[: size - written])
            written += len(statement)


def noise(path, size, seed):
    """Random bytes: nothing to compress."""
    dice = random.Random(seed)
    with open(path, "wb") as out:
        for start in range(0, size, 1 << 20):
            out.write(dice.randbytes(min(1 << 20, size - start)))


def small(folder, count, seed):
    """`count` files of 16 to 512 bytes, a thousand to a folder."""
    dice = random.Random(seed)
    for n in range(count):
        if n % 1000 == 0:
            inner = os.path.join(folder, f"{n // 1000:05}")
            os.makedirs(inner)
        with open(os.path.join(inner, f"{n:07}.json"), "wb", buffering=0) as out:
            out.write(dice.randbytes(dice.randint(16, 512)))


def large(folder, size, seed):
    """One file: pieces of a dump in random order, with random bytes every MiB, so that no chunk comes twice."""
    sql(os.path.join(folder, "pieces"), 64 << 20, seed)
    with open(os.path.join(folder, "pieces"), "rb") as file:
        dump = file.read()
    os.remove(os.path.join(folder, "pieces"))
    dice, pieces = random.Random(seed), [dump[at : at + 4096] for at in range(0, len(dump), 4096)]
    with open(os.path.join(folder, "part-0"), "wb") as out:
        for _ in range(0, size, 1 << 20):
            out.write(dice.randbytes(4096) + b"".join(dice.choices(pieces, k=255)))


if __name__ == "__main__":
    if sys.argv[1] == "large":
        os.makedirs(sys.argv[2])
        large(sys.argv[2], int(sys.argv[3]), 1)
        sys.exit()
    kind, root, amount = {"sql": sql, "random": noise, "small": small}[sys.argv[1]], sys.argv[2], int(sys.argv[3])
    os.makedirs(root)
    with Pool() as pool:
        pool.starmap(kind, [(os.path.join(root, f"part-{n}"), amount // FILES, n + 1) for n in range(FILES)])
