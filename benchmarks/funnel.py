"""Does the funnel find the winners for a quarter of the work? A replay study on candidates whose truth is known.

    python benchmarks/funnel.py [--small] [--replays 200] [--figure FILE.svg]
    python benchmarks/funnel.py --record FOLDER [FOLDER ...]

Each replay holds the recorded candidates (`benchmarks/data/recorded_runs.json`: what the runs of the quickstart
measured, made by `--record` from a campaign's folder) and 60 drawn ones (ln sigma at 300 K, activation energy, spread
between orderings) with every run of an exhaustive plan by the error model of the transport room: ln D of a run scatters
with variance 1/n_eff, n_eff growing with the number of jumps that its length and temperature allow, and a run that sees
fewer than three jumps gives an upper limit only. Then the funnel (`ionsieve.screening.funnel.decide`, as it stands),
random sampling and successive halving spend their budgets on the same runs. A replay succeeds when a policy's five best
are the five best of the exhaustive plan; recall is the share of those five that it found.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ionsieve.rng import generator
from ionsieve.screening import funnel as fun

K_B = 8.617333262e-5
TARGET_K = 300.0
LENGTH_PS = 100.0
N_MOBILE = 40
TOP_K = 5
RECORDED = Path(__file__).with_name("data") / "recorded_runs.json"


@dataclass(frozen=True)
class World:
    """All runs of one replay: design value x, result y = ln D (cm²/s), its standard deviation, whether a limit.

    Row i holds the runs of candidate i in the order in which they would be given; the first ``count[i]`` of them exist.
    """

    x: np.ndarray  # (N, R) 1/k (1/300 - 1/T), 1/eV
    y: np.ndarray  # (N, R)
    s: np.ndarray  # (N, R)
    limit: np.ndarray  # (N, R)
    count: np.ndarray  # (N,)

    @property
    def size(self) -> int:
        """Number of runs of the exhaustive plan."""
        return int(self.count.sum())

    def all_runs(self) -> dict[int, list[int]]:
        """Every run of every candidate."""
        return {i: list(range(n)) for i, n in enumerate(self.count)}


def world(
    seed: int,
    *,
    n: int = 60,
    temperatures_K: tuple[float, ...] = (800, 1000, 1200, 1400),
    configurations: int = 3,
    replicas: int = 2,
) -> World:
    """Draw one replay: 4 temperatures x 3 configurations x 2 seeds = 24 runs a candidate."""
    runs = fun.run_order(temperatures_K, list(range(configurations)), replicas)
    draw = generator("funnel-study", seed)
    ea = np.clip(draw.normal(0.33, 0.1, n), 0.12, 0.7)
    ln_d0 = draw.normal(np.log(1e-3), 0.8, n)
    x = np.tile([(1 / TARGET_K - 1 / t) / K_B for _, t, _ in runs], (n, 1))
    ordering = draw.normal(0.0, 0.15, (n, 3))
    y, s, limit = np.empty((n, len(runs))), np.empty((n, len(runs))), np.zeros((n, len(runs)), bool)
    for j, (c, t, _) in enumerate(runs):
        ln_d = ln_d0 - ea / (K_B * t) + ordering[:, c]
        # jumps of 3 Å by N ions in the run: 6 D t N / a²
        hops = 6 * np.exp(ln_d) * 1e16 * LENGTH_PS * 1e-12 * N_MOBILE / 9.0
        n_eff = np.maximum(hops / 3.0, 0.3)  # correlated motion: a third of the jumps count
        s[:, j] = np.sqrt(1 / n_eff + 0.15**2)  # and the spread between orderings
        y[:, j] = ln_d + draw.normal(0, 1, n) / np.sqrt(n_eff)
        limit[:, j] = draw.poisson(hops) < 3
        y[limit[:, j], j] = np.log(3.0 * 9.0 / (6 * 1e16 * LENGTH_PS * 1e-12 * N_MOBILE))
    return with_recorded(World(x, y, s, limit, np.full(n, len(runs))))


def with_recorded(drawn: World) -> World:
    """Return the world with the recorded candidates before the drawn ones."""
    if not RECORDED.exists():
        return drawn
    told = json.loads(RECORDED.read_text())["candidates"]
    shape = (len(told), drawn.y.shape[1])
    x, y, s, limit = np.zeros(shape), np.zeros(shape), np.ones(shape), np.zeros(shape, bool)
    for i, candidate in enumerate(told):
        for j, run in enumerate(candidate["runs"][: shape[1]]):
            x[i, j] = (1 / TARGET_K - 1 / run["temperature_K"]) / K_B
            y[i, j], s[i, j], limit[i, j] = run["ln_d"], run["std"], run["limit"]
    count = np.array([min(len(c["runs"]), shape[1]) for c in told])
    pairs = ((x, drawn.x), (y, drawn.y), (s, drawn.s), (limit, drawn.limit))
    return World(*(np.concatenate(pair) for pair in pairs), np.concatenate([count, drawn.count]))


def record(folders: list[Path]) -> None:
    """Write what the runs of real campaigns measured: the tracer diffusivity of every run, or its upper limit."""
    from ionsieve.records import Measurement
    from ionsieve.store import Store
    from ionsieve.verdicts import Verdict

    found: dict[str, dict[tuple[int, float, int], dict[str, object]]] = {}
    for folder in folders:
        store = Store.open(folder)
        for _, measured in store.records("measure", Measurement):
            d = measured.tracer_diffusivity
            limit = d.kind is Verdict.UPPER_LIMIT
            if d.value is None or not d.value > 0:
                continue
            std = 0.6 if limit or not d.low68 or not d.high68 else 0.5 * math.log(d.high68 / d.low68)
            configuration, replica = int(measured.configuration_id.rpartition("--c")[2]), int(measured.run_id[-1])
            run = {
                "temperature_K": measured.temperature_K,
                "ln_d": round(math.log(d.value), 4),
                "std": round(max(std, 0.05), 4),
                "limit": limit,
            }
            name = f"{store.campaign['name']}: {measured.candidate_id}"
            found.setdefault(name, {})[configuration, measured.temperature_K, replica] = run
    candidates = []
    for name, runs in sorted(found.items()):
        temperatures = sorted({t for _, t, _ in runs})
        replicas = 1 + max(r for _, _, r in runs)
        order = fun.run_order(tuple(temperatures), sorted({c for c, _, _ in runs}), replicas)
        candidates.append({"name": name, "runs": [runs[key] for key in order if key in runs]})
    RECORDED.parent.mkdir(exist_ok=True)
    RECORDED.write_text(
        json.dumps({"unit": "ln(D / cm²/s)", "candidates": candidates}, indent=1, ensure_ascii=False) + "\n"
    )
    print(f"{sum(len(c['runs']) for c in candidates)} runs of {len(candidates)} candidates in {RECORDED}")


def posterior(w: World, i: int, used: list[int]) -> fun.Estimated:
    """Bayesian line through the runs used, prior on the activation energy 0.33 +- 0.12 eV; limits give a bound."""
    good = [j for j in used if not w.limit[i, j]]
    name = f"c{i:03d}"
    if not good:
        bounds = [w.y[i, j] - 0.15 * w.x[i, j] for j in used]  # the limit carried to 300 K with a low barrier
        return fun.Estimated(name, limit=float(min(bounds))) if bounds else fun.Estimated(name)
    a = np.stack([np.ones(len(good)), w.x[i, good]], axis=1) / w.s[i, good][:, None]
    precision = a.T @ a + np.diag([1e-9, 1 / 0.12**2])
    # y = ln sigma(300) + Ea x
    mean = np.linalg.solve(precision, a.T @ (w.y[i, good] / w.s[i, good]) + np.array([0, 0.33 / 0.12**2]))
    return fun.Estimated(name, float(mean[0]), float(np.sqrt(np.linalg.inv(precision)[0, 0])))


def best(w: World, used: dict[int, list[int]]) -> list[int]:
    """The five best by the posterior mean of what was spent."""

    def value(i: int) -> float:
        e = posterior(w, i, used.get(i, []))
        return e.mean if e.mean is not None else (e.limit - 1.0 if e.limit is not None else -1e9)

    return sorted(range(len(w.count)), key=lambda i: -value(i))[:TOP_K]


def play_funnel(w: World, seed: int) -> list[tuple[int, int]]:
    """Let the funnel run until it has nothing left to decide; return (candidate, run) in the order of spending.

    What it decides does not depend on the budget: a smaller budget is a shorter beginning of the same list.
    """
    n = len(w.count)
    told = fun.FunnelSettings(top_k=TOP_K, seed=seed, draws=1000)
    state = fun.FunnelState(settings=told, expected=n)
    used: dict[int, list[int]] = {i: [] for i in range(n)}
    events: list[fun.Event] = [fun.Offered(f"c{i:03d}", tuple(map(str, range(w.count[i])))) for i in range(n)]
    order: list[tuple[int, int]] = []
    while events:
        state, actions = fun.decide(state, events)
        events = []
        for action in actions:
            if isinstance(action, fun.Submit):
                i, j = int(action.candidate[1:]), int(action.run)
                used[i].append(j)
                order.append((i, j))
                events.append(posterior(w, i, used[i]))
    return order


def _first(order: list[tuple[int, int]], count: int) -> dict[int, list[int]]:
    used: dict[int, list[int]] = {}
    for i, j in order[:count]:
        used.setdefault(i, []).append(j)
    return used


def play_random(w: World, budget: float, seed: int) -> dict[int, list[int]]:
    """Runs in random order."""
    plan = [(i, j) for i, count in enumerate(w.count) for j in range(count)]
    order = generator("funnel-random", seed).permutation(len(plan))[: int(budget * len(plan))]
    return _first([plan[o] for o in order], len(order))


def play_halving(w: World, budget: float, seed: int) -> dict[int, list[int]]:
    """Successive halving: the budget is split evenly over the rounds, the better half goes on."""
    n = len(w.count)
    alive = list(range(n))
    used: dict[int, list[int]] = {i: [] for i in range(n)}
    rounds = int(np.ceil(np.log2(n / TOP_K)))
    total = int(budget * w.size)
    for _ in range(rounds):
        each = max(1, total // rounds // len(alive))
        for i in alive:
            start = len(used[i])
            used[i] += list(range(start, min(int(w.count[i]), start + each)))
        keep = max(TOP_K, len(alive) // 2)
        alive = sorted(alive, key=lambda i: -_mean(w, i, used[i]))[:keep]
    return used


def _mean(w: World, i: int, used: list[int]) -> float:
    e = posterior(w, i, used)
    return e.mean if e.mean is not None else (e.limit - 1.0 if e.limit is not None else -1e9)


def study(replays: int, budgets: list[float]) -> dict[str, dict[float, tuple[float, float]]]:
    """Recall and share of identical top five, by policy and budget."""
    worlds = [world(s) for s in range(replays)]
    size = worlds[0].size
    plays = [play_funnel(w, s) for s, w in enumerate(worlds)]
    policies = {
        "funnel": lambda w, b, s: _first(plays[s], int(b * size)),
        "successive halving": play_halving,
        "random": play_random,
    }
    everything = [set(best(w, w.all_runs())) for w in worlds]
    out: dict[str, dict[float, tuple[float, float]]] = {}
    for name, play in policies.items():
        out[name] = {}
        for budget in budgets:
            recalls = [
                len(set(best(w, play(w, budget, s))) & full) / TOP_K
                for s, (w, full) in enumerate(zip(worlds, everything, strict=True))
            ]
            out[name][budget] = (float(np.mean(recalls)), float(np.mean(np.array(recalls) == 1.0)))
    return out


def alone(configurations: int, replicas: int, replays: int) -> tuple[list[float], list[bool]]:
    """Let the funnel end by itself: share of the steps it used, and whether its top five are the exhaustive ones."""
    shares, same = [], []
    for seed in range(replays):
        w = world(seed, configurations=configurations, replicas=replicas)
        order = play_funnel(w, seed)
        shares.append(len(order) / w.size)
        same.append(set(best(w, _first(order, len(order)))) == set(best(w, w.all_runs())))
    return shares, same


def draw(results: dict[str, dict[float, tuple[float, float]]], path: Path) -> None:
    """Plot recall against budget."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, points in results.items():
        axes.plot([100 * b for b in points], [100 * r for r, _ in points.values()], "o-", label=name)
    axes.axhline(95, color="0.7", lw=0.8)
    axes.axvline(25, color="0.7", lw=0.8)
    axes.set(xlabel="MD steps, % of the exhaustive plan", ylabel="recall of its top 5, %", ylim=(0, 102))
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="20 replays")
    parser.add_argument("--replays", type=int, default=200)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--record", type=Path, nargs="+", help="folders of real campaigns whose runs are recorded")
    told = parser.parse_args(argv)
    if told.record:
        record(told.record)
        return 0
    replays = 20 if told.small else told.replays
    budgets = [0.06, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5]
    begin = time.perf_counter()
    results = study(replays, budgets)
    if told.figure is not None:
        draw(results, told.figure)
    print("| policy | " + " | ".join(f"{b:.0%}" for b in budgets) + " |")
    print("| --- |" + " ---: |" * len(budgets))
    for name, points in results.items():
        cells = " | ".join(f"{r:.0%} ({same:.0%})" for r, same in points.values())
        print(f"| {name} | {cells} |")
    print(
        "\nrecall of the exhaustive top 5 (identical top 5) at each share of its MD steps, "
        f"{replays} replays of 60 drawn candidates and {len(world(0).count) - 60} recorded ones"
    )
    print("\nLeft alone, until nothing is left to decide; the smaller the plan, the more of it the first look costs:\n")
    print("| runs a candidate | share of the MD steps | largest | identical top 5 |\n| ---: | ---: | ---: | ---: |")
    for configurations, replicas in ((1, 1), (1, 2), (3, 1), (3, 2)):
        shares, same = alone(configurations, replicas, replays)
        runs = 4 * configurations * replicas
        print(f"| {runs} | {np.mean(shares):.1%} | {max(shares):.1%} | {np.mean(same):.0%} |")
    print()
    print(f"python benchmarks/funnel.py --replays {replays}   [{time.perf_counter() - begin:.0f} s]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
