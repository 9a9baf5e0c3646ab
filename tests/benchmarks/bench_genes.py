"""Does a list of who regulates whom help? Planted regulators, 20 truths, five networks.

Run as `python tests/benchmarks/bench_genes.py`; `--expression independent` plants the other way
round (genes drive regulators, nothing but the outcome is noisy), `--truths 5` is quicker.

Per truth, one run: its own network, deciding regulators, people, batches and start. The strength of
the group penalty is chosen per run by accuracy on validation data, as is the cut-off of the last
column; test people and the second cohort choose nothing. Regulators are ranked in two ways: by the
units of the network (which are nobody's without a list), and by the true list, read afterwards.
"""

import argparse
from itertools import combinations
from statistics import mean

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from scipy import stats
from sklearn.metrics import average_precision_score

import shapekeeper as sk
from shapekeeper.tasks import PlantedRegulators, genes

STEPS, SIZES, STRENGTHS = 800, (80, 300), (0.003, 0.03)
CLEAN = {"expression": "independent", "noise": 0.0, "batch_effect": 0.0}


def measured(task: sk.Task, truth: PlantedRegulators, seed: int) -> dict[str, float]:
    """Train one run and rank its regulators."""
    found = sk.compare(task, [sk.Projection()], seeds=[seed], steps=STEPS)
    (model,), data = found.models("Projection"), task.data_for(seed)
    final, x = found.final().iloc[0], data.train[0]
    with torch.no_grad():
        parts = {name: (model(x), y) for name, (x, y) in data.parts.items()}
    cutoff = sk.tasks.best_cutoff(*parts["validation"])
    after = sk.tasks.gene_set_scores(model, x, truth.network)
    return {
        "AUPRC units": truth.average_precision(sk.tasks.regulator_scores(model, x)),
        "AUPRC after": truth.average_precision(after),
        "test": 100 * final["metric"],
        "second": 100 * final["metric:second_cohort"],
        "second, cut": 100 * float(sk.tasks.share_right(*parts["second_cohort"], cutoff)),
        "validation": 100 * final["metric:validation"],
    }


def one_truth(seed: int, examples: int, settings: dict) -> list[dict]:
    """All networks on one truth."""
    torch.set_num_threads(1)
    truth = sk.tasks.planted_regulators(seed)
    settings = {"truth": truth, "examples": examples, **settings}
    redrawn = truth.network.shuffled(keep_genes=False)
    lists = {"true": "true", "shuffled": "shuffled", "redrawn": redrawn, "none": "none"}
    rows = {k: measured(genes(v, **settings), truth, seed) for k, v in lists.items()}
    priced = [measured(genes("true", penalty=p, **settings), truth, seed) for p in STRENGTHS]
    rows["true + penalty"] = max(priced, key=lambda row: row["validation"])
    return [{"network": k, "truth": seed, "n": examples, **row} for k, row in rows.items()]


def interval(differences: np.ndarray) -> str:
    """Mean paired difference with its 95 % interval."""
    half = stats.sem(differences) * stats.t.ppf(0.975, len(differences) - 1)
    middle = differences.mean()
    return f"{middle:+.2f} [{middle - half:+.2f}, {middle + half:+.2f}]"


def show(table: pd.DataFrame) -> None:
    """Mean and spread of each network, then what the true list has over it."""
    columns = ["AUPRC units", "AUPRC after", "test", "second", "second, cut"]
    print(f"{'':<16}" + "".join(f"{name:>22}" for name in columns))
    runs = {name: group.set_index("truth") for name, group in table.groupby("network", sort=False)}
    for name, run in runs.items():
        cells = [f"{run[c].mean():.2f} ± {run[c].std():.2f}" for c in columns]
        print(f"{name:<16}" + "".join(f"{cell:>22}" for cell in cells))
    print("the true list minus ... (paired, 95 % interval)")
    for name in list(runs)[1:]:
        cells = [interval((runs["true"][c] - runs[name][c]).to_numpy()) for c in columns]
        print(f"{name:<16}" + "".join(f"{cell:>22}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--truths", type=int, default=20)
    parser.add_argument("--expression", choices=["regulated", "independent"], default="regulated")
    chosen = parser.parse_args()
    settings = CLEAN if chosen.expression == "independent" else {}
    jobs = [(seed, n, settings) for n in SIZES for seed in range(chosen.truths)]
    done = Parallel(n_jobs=2)(delayed(one_truth)(*job) for job in jobs)
    table = pd.DataFrame([row for rows in done for row in rows])
    ranks = [[i in picked for i in range(8)] for picked in combinations(range(8), 3)]
    chance = mean(average_precision_score(rank, np.arange(8)) for rank in ranks)
    print(f"{chosen.expression} expression, {chosen.truths} truths; AUPRC by chance {chance:.2f}")
    for n, group in table.groupby("n"):
        print(f"\nn = {n}")
        show(group)


if __name__ == "__main__":
    main()
