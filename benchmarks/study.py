"""How fast the reader study's app answers sixty readers at once, and what the form of the pictures gives away.

    python benchmarks/study.py                                  # pictures of noise, 512×1024
    python benchmarks/study.py --study data/study               # and what the form of a drawn study's pictures tells

The server runs in a process of its own on a loopback port, the readers in this one, each with a connection of its own.
They are measured with a second of thinking a case, having come within five seconds, and without any pause: both harder
than dentists are. Every request is timed from its first byte sent to its last one received, with the time that it waits
in this process because other readers are served: readers and server share the cores. Times in the server come from its
log, without that. `commit_ms` is one row written durably to such a database alone: no answer can be faster. `load` is
what the machine had to do beforehand. Results go to benchmarks/results/study.json.
"""

import argparse
import asyncio
import os
import random
import re
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
from parts.measuring import machine
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "study" / "app"))

from served_studies import STATE, Server, fields, form_token, invited, text_sha256, write_study

from panodiff.files import write_json
from panodiff.study.app.database import Database
from panodiff.study.app.served import load_served

ROOT = Path(__file__).parents[1]
NUM_READERS, NUM_CASES = 60, 20
NUM_COMMITS = 300
Times = dict[str, list[float]]


def main() -> None:
    """Print what was measured and write it down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--study", type=Path, help="a folder that the stage study wrote")
    arguments = parser.parse_args()
    results: dict = {"machine": machine("cpu"), "load": os.getloadavg()[0], "readers": NUM_READERS, "cases": NUM_CASES}
    for name, thinking_s in {"one second a case": 1.0, "no thinking": 0.0}.items():
        with tempfile.TemporaryDirectory() as folder:
            results[name] = measure_load(Path(folder), thinking_s)
        for kind, row in rows_of(results[name]):
            print(f"{name:<20}{kind:<10}p50 {row['p50_ms']:>7.1f} ms   p95 {row['p95_ms']:>7.1f} ms", flush=True)
        print(f"{name:<20}{results[name]['requests_a_second']:.0f} requests a second")
    with tempfile.TemporaryDirectory() as folder:
        results["commit_ms"] = measure_commits(Path(folder))
    print(f"a commit alone: {results['commit_ms']:.2f} ms")
    if arguments.study:
        results["form_auc"] = measure_form(arguments.study)
        print("AUC of measures of form against the label:", results["form_auc"])
    write_json(ROOT / "benchmarks" / "results" / "study.json", results)


def measure_load(folder: Path, thinking_s: float) -> dict:
    """Times of all requests by kind while all readers go through the study."""
    write_study(folder, num_cases=NUM_CASES, num_warm_up=0, time_limit_s=60, size=(512, 1024))
    codes = invited(folder, *(f"R{number}" for number in range(NUM_READERS)))
    times: Times = defaultdict(list)

    async def all_together(address: str) -> None:
        await asyncio.gather(*(read(address, code, thinking_s, times) for code in codes.values()))

    with Server(folder) as server:
        began = time.perf_counter()
        asyncio.run(all_together(server.address))
        spent = time.perf_counter() - began
    (row,) = Database(folder / STATE).rows("SELECT COUNT(answer) AS answers FROM showings")
    assert row["answers"] == NUM_READERS * NUM_CASES
    logged = re.findall(r" (?:GET|POST) /\S* \d+ ([\d.]+) ms", server.log.read_text())
    return {
        "requests": {kind: percentiles(values) for kind, values in times.items()},
        "all": percentiles([value for values in times.values() for value in values]),
        "in_the_server": percentiles([float(milliseconds) / 1000 for milliseconds in logged]),
        "requests_a_second": sum(map(len, times.values())) / spent,
    }


def rows_of(result: dict) -> list[tuple[str, dict[str, float]]]:
    """What is printed of one load."""
    return [*result["requests"].items(), ("all", result["all"]), ("in server", result["in_the_server"])]


def percentiles(seconds: list[float]) -> dict[str, float]:
    p50, p95, p99 = (1000 * float(value) for value in np.percentile(seconds, (50, 95, 99)))
    return {"num": len(seconds), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "max_ms": 1000 * max(seconds)}


async def read(address: str, code: str, thinking_s: float, times: Times) -> None:
    """One reader, from the code to the thanks; begins at a random moment, as readers do."""
    limits = httpx.Limits(max_connections=1)
    # Not verified, since it is loopback without TLS: to load the certificates of the world takes each client 25 ms.
    async with httpx.AsyncClient(base_url=address, timeout=60, limits=limits, verify=False) as client:

        async def timed(kind: str, method: str, path: str, data: dict[str, str] | None = None) -> httpx.Response:
            began = time.perf_counter()
            response = await client.request(method, path, data=data)
            times[kind].append(time.perf_counter() - began)
            assert response.status_code in (200, 303), response.text
            return response

        await asyncio.sleep(5 * thinking_s * random.random())
        page = await timed("page", "GET", "/")
        await timed("sign in", "POST", "/enter", {"code": code, "form_token": form_token(page.text)})
        page = await timed("page", "GET", "/consent")
        token = form_token(page.text)
        given = {"role": "student", "years": "1", "agreed": "yes", "form_token": token}
        given["text_sha256"] = text_sha256(page.text)
        await timed("consent", "POST", "/consent", given)
        await timed("consent", "POST", "/start", {"form_token": token})
        for _ in range(NUM_CASES):
            shown = fields((await timed("case page", "GET", "/case?go=1")).text)
            await timed("picture", "GET", f"/pixels/{shown['token']}")
            data = {"form_token": shown["form-token"], "position": shown["position"]}
            await timed("painted", "POST", "/painted", data)
            await asyncio.sleep(thinking_s * random.uniform(0.5, 1.5))
            await timed("answer", "POST", "/answer", data | {"level": "4"})


def measure_commits(folder: Path) -> float:
    """Milliseconds of a small change on disk, the median."""
    write_study(folder)
    database = Database(folder / STATE, load_served(folder / "served"))
    spent = []
    for number in range(NUM_COMMITS):
        began = time.perf_counter()
        with database.writing() as connection:
            connection.execute("UPDATE study SET digest = ?", (str(number),))
        spent.append(1000 * (time.perf_counter() - began))
    return float(np.median(spent))


def measure_form(study: Path) -> dict[str, float]:
    """How well a measure that sees no picture tells synthetic from real, as an AUC of at least ½.

    Of the PNG files, of what is sent, and of the ends of the histogram, which the pixels bring with them.
    """
    key = pd.read_csv(study / "key.csv").set_index("case")["label"]
    served = load_served(study / "served")
    synthetic = [key[name] == "synthetic" for name in served.pixels]
    counts = [np.bincount(np.frombuffer(pixels, np.uint8), minlength=256) for pixels in served.pixels.values()]
    measures = {
        "png_bytes": [(study / f"served/cases/{name}.png").stat().st_size for name in served.pixels],
        "sent_bytes": [len(pixels) for pixels in served.pixels.values()],
        "darkest": [np.flatnonzero(count)[0] for count in counts],
        "brightest": [np.flatnonzero(count)[-1] for count in counts],
        "black_pixels": [count[0] for count in counts],
        "white_pixels": [count[255] for count in counts],
        "greys_left_out": [np.count_nonzero(count == 0) for count in counts],
    }
    aucs = {name: float(roc_auc_score(synthetic, values)) for name, values in measures.items()}
    return {name: max(auc, 1 - auc) for name, auc in aucs.items()}


if __name__ == "__main__":
    main()
