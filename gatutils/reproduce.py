"""The book's longer runs, one command each: ``python -m gatutils.reproduce lengths --seeds 5``.

A chapter trains what fits into a minute and reads the rest from ``book/results/``. Each file
there holds the protocol, the versions and every run; a run that it already holds is not done
again, so a stopped command goes on where it was.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

import gatutils
from gatutils.attention import Additive, General, Score
from gatutils.checks import expect
from gatutils.datasets import ENGLISH, KOREAN, Batch, batches, score_by_clauses
from gatutils.seq2seq import Seq2Seq, greedy, sequence_loss
from gatutils.training import fit, seed_everything

__all__ = ["LENGTHS", "main", "read", "run_lengths", "translation_loss"]

BUDGET = {"steps": 400, "batch": 64, "lr": 5e-3, "embedding": 64, "hidden": 96}
"""What every model of chapters 1 and 2 gets, unless its name says otherwise."""

LENGTHS: dict[str, dict[str, Any]] = {
    "one vector": {},
    "one vector, 3x steps": {"steps": 3 * BUDGET["steps"]},
    "one vector, 2x width": {"hidden": 2 * BUDGET["hidden"]},
    "additive": {"score": "additive"},
    "general": {"score": "general"},
    "general, after the cell": {"score": "general", "layout": "after"},
}
"""Model -> how it departs from ``BUDGET``."""

PROTOCOL = {
    "budget": BUDGET,
    "models": LENGTHS,
    "training clauses": [0, 1, 2, 3, 4, 5],
    "test": {"clauses": list(range(8)), "count": 200, "seed": 1, "split": "test"},
    "measure": "share of sentences translated word for word by greedy decoding",
}


def translation_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Return the cross-entropy of the next Korean word under teacher forcing."""
    logits, _ = model(batch.source, batch.source_mask, batch.target_in)
    return sequence_loss(logits, batch.target_out)


def run_lengths(model: str, seed: int, steps: int | None = None) -> dict[str, Any]:
    """Train one model of :data:`LENGTHS` on one seed; return its scores and what it cost.

    Args:
        model: A name in :data:`LENGTHS`.
        seed: Of the weights and of the sentences.
        steps: Instead of the protocol's, for a quick look.
    """
    expect(model in LENGTHS, "model", f"one of {', '.join(LENGTHS)}", repr(model))
    plan: dict[str, Any] = {**BUDGET, "score": None, "layout": "before", **LENGTHS[model]}
    width = plan["hidden"]
    seed_everything(seed)
    kinds: dict[str | None, type[Score]] = {"additive": Additive, "general": General}
    kind = kinds.get(plan["score"])
    translator = Seq2Seq(
        len(ENGLISH),
        len(KOREAN),
        plan["embedding"],
        width,
        None if kind is None else kind(width, 2 * width),
        plan["layout"],
    )
    start = time.process_time()
    history = fit(
        translator,
        batches(plan["batch"], PROTOCOL["training clauses"], seed),  # type: ignore[arg-type]
        translation_loss,
        plan["steps"] if steps is None else steps,
        lr=plan["lr"],
        seed=seed,
    )
    cpu = time.process_time() - start

    def translate(batch: Batch) -> list[tuple[int, ...]]:
        return [h.words for h in greedy(translator, batch.source, batch.source_mask)]

    translator.eval()
    return {
        "model": model,
        "seed": seed,
        "scores": score_by_clauses(translate, **PROTOCOL["test"]),  # type: ignore[arg-type]
        "loss": round(sum(history.loss[-20:]) / len(history.loss[-20:]), 4),
        "parameters": sum(p.numel() for p in translator.parameters()),
        "cpu seconds": round(cpu),
    }


def read(path: str | Path) -> dict[str, list[list[float]]]:
    """Return model -> one row of scores for each seed, in the order of the seeds.

    Raises:
        ValueError: If the file is no result of :func:`main`.
    """
    stored = json.loads(Path(path).read_text(encoding="utf-8"))
    expect("runs" in stored, "path", "a result of gatutils.reproduce", str(path))
    runs = sorted(stored["runs"], key=lambda run: run["seed"])
    return {
        m: [r["scores"] for r in runs if r["model"] == m] for m in {r["model"]: 0 for r in runs}
    }


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing and write the result file whole after each run."""
    parser = argparse.ArgumentParser(prog="python -m gatutils.reproduce", description=__doc__)
    parser.add_argument("row", choices=["lengths"], help="what to reproduce")
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds (default 5)")
    parser.add_argument("--models", nargs="+", choices=list(LENGTHS), default=list(LENGTHS))
    parser.add_argument("--steps", type=int, help="instead of the protocol's, for a quick look")
    parser.add_argument("--out", type=Path, default=Path("book/results"), help="folder")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # the last digits depend on the number of threads

    path = options.out / f"{options.row}.json"
    options.out.mkdir(parents=True, exist_ok=True)
    protocol: dict[str, Any] = json.loads(json.dumps(PROTOCOL))
    if options.steps is not None:
        protocol["steps"] = options.steps  # not to be mixed up with the real thing
    result: dict[str, Any] = {"protocol": protocol, "versions": {}, "runs": []}
    if path.exists():
        result = json.loads(path.read_text(encoding="utf-8"))
        same = result["protocol"] == protocol
        expect(same, "--out", "a folder without results of another protocol", str(path))
    versions = {
        "gatutils": gatutils.__version__,
        "torch": torch.__version__.split("+")[0],
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": 1,
    }
    same = result["versions"] in ({}, versions)
    expect(same, "--out", "a folder without results of other versions", result["versions"])
    result["versions"] = versions
    done = {(run["model"], run["seed"]) for run in result["runs"]}
    plan = [(m, s) for s in range(options.seeds) for m in options.models if (m, s) not in done]
    for model, seed in tqdm(plan, unit="run"):
        result["runs"].append(run_lengths(model, seed, options.steps))
        result["runs"].sort(key=lambda run: (list(LENGTHS).index(run["model"]), run["seed"]))
        draft = path.with_suffix(".tmp")
        draft.write_text(_one_run_a_line(result), encoding="utf-8")
        os.replace(draft, path)


def _one_run_a_line(result: dict[str, Any]) -> str:
    """Return JSON whose diffs a person can read."""
    runs = ",\n  ".join(json.dumps(run) for run in result["runs"])
    head = {key: value for key, value in result.items() if key != "runs"}
    return json.dumps(head, indent=1)[:-2] + f',\n "runs": [\n  {runs}\n ]\n}}\n'


if __name__ == "__main__":
    main()
