"""Train a graph attention network in several processes, on one machine or on many.

    python examples/distributed.py prepare FOLDER
    torchrun --standalone --nproc-per-node 2 examples/distributed.py train FOLDER

For N machines, copy FOLDER to each and run the same words on each; HOST is one of them:

    torchrun --nnodes N --nproc-per-node 1 --rdzv-backend c10d --rdzv-id any \
        --rdzv-endpoint HOST:29500 examples/distributed.py train FOLDER

With --max-restarts 1 after torchrun, and TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 before it, all
processes start again from the last checkpoint when one is killed. GLOO_SOCKET_IFNAME names the
network interface, where gloo does not find the right one.

The training nodes are split into shares. Process r of P reads the shares r, r + P, r + 2P, ... and
no others, and DistributedDataParallel averages the gradients. Batch t depends on the seed and on t
alone, so any number of processes computes the same weights, up to rounding, and a training may be
resumed with another number. An error is one sentence and exit status 2; torchrun then adds a report
of its own and exits with 1.
"""

import argparse
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, elu
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

import gatutils as gat
from gatutils.book.tasks.graphs import planted_classes, scipy_api

Result = TypeVar("Result")


class Stop(Exception):  # noqa: N818 (it is not an error of the program)
    """Why this process cannot go on, and what to do about it, in one sentence."""


# ---- Before the training: the graph, and the shares of its training nodes ------------------------


def prepare(args: argparse.Namespace) -> None:
    """Write the graph, four fifths of its nodes as shares, and the others as test nodes."""
    graph: Any = planted_classes(args.random, args.seed) if args.random else scipy_api().graph
    graph = graph.with_features(graph.features.double()) if args.double else graph
    order = torch.randperm(graph.num_nodes, generator=torch.Generator().manual_seed(args.seed))
    test, train = order.tensor_split([len(order) // 5])
    try:
        gat.save_graph(graph, args.folder)
        gat.save_nodes(test, args.folder, "test")
        for k in range(args.shares):
            gat.save_nodes(train[k :: args.shares], args.folder, f"share-{k}-of-{args.shares}")
    except OSError as error:
        raise Stop(f"no graph can be written there: name another folder ({error})") from error
    print(f"{graph} and {args.shares} shares are in {args.folder}")


# ---- The network, and its loss on a part of a batch ---------------------------------------------


class Network(nn.Module):
    """Two graph attention layers: ours, or PyTorch Geometric's with the weights of ours."""

    def __init__(self, args: argparse.Namespace, features: int, classes: int) -> None:
        super().__init__()
        kind = gat.GATv2Conv if args.layer == "gatv2" else gat.GATConv
        wide = args.hidden * args.heads
        first = kind(features, args.hidden, args.heads, dropout=args.dropout)
        last = kind(wide, classes, dropout=args.dropout)
        self.pyg = args.layer == "pyg"
        self.layers = nn.ModuleList(map(gat.to_pyg, (first, last)) if self.pyg else (first, last))
        # A node is not among its own neighbours, so its state is added by a map of its own.
        self.own = nn.ModuleList([nn.Linear(features, wide), nn.Linear(wide, classes)])

    def forward(self, states: Tensor, blocks: list[gat.SampledBlock[gat.Graph]]) -> Tensor:
        """Return the logits of the batch's nodes, from the states of the first block's sources."""
        for k, (layer, own, block) in enumerate(zip(self.layers, self.own, blocks, strict=True)):
            states = elu(states) if k else states
            targets = states[: block.graph.num_nodes]  # they are the first of the sources
            edges = block.graph.edge_index if self.pyg else block.graph
            states = layer((states, targets), edges) + own(targets)
        return states


def share_loss(
    model: nn.Module, graph: Any, nodes: Tensor, args: argparse.Namespace, step: int, share: int
) -> Tensor:
    """Return the summed loss of the nodes that a step draws from a share."""
    # This is torch's own generator, so dropout is drawn from it as well. The seed is hashed,
    # because generators with neighbouring seeds need not be independent.
    seed = np.random.SeedSequence([args.seed, step, share]).generate_state(1, np.uint64)
    generator = torch.manual_seed(int(seed[0]))
    drawn = nodes[torch.randperm(len(nodes), generator=generator)[: args.batch]]
    blocks = graph.sample(drawn, args.sizes, generator)
    logits = model(graph.features[blocks[0].sources], blocks)  # reads these rows alone from disk
    return cross_entropy(logits, graph.labels[drawn], reduction="sum")


# ---- Training -----------------------------------------------------------------------------------


def train(args: argparse.Namespace) -> None:
    """Train on this process's part of every batch."""
    rank, world = dist.get_rank(), dist.get_world_size()
    lead = rank == 0  # it alone prints, and has the checkpoint: others may be on other machines
    graph, shares, test, settings = agreed(lambda: read(args, rank, world))
    saved = agreed(lambda: gat.load_checkpoint(args.checkpoint, settings) if lead else None)
    words = {**settings, "steps": args.steps, "every": args.every}
    first: list[Any] = [words, saved]
    dist.broadcast_object_list(first)
    differ, saved = gat.different_settings(first[0], words), first[1]
    agreed(lambda: stop_if(differ, f"process {rank} has {differ}: use the same words for all"))
    torch.manual_seed(args.seed)  # all begin with the same weights
    network = agreed(lambda: Network(args, graph.features.shape[1], int(graph.labels.max()) + 1))
    model = DistributedDataParallel(network.to(graph.features.dtype))
    optimizer = torch.optim.Adam(network.parameters(), lr=args.lr)
    if saved:
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])

    def save(step: int) -> None:
        state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
        try:
            gat.save_checkpoint(args.checkpoint, state, settings)
        except OSError as error:
            raise Stop(f"{error}: make room there, or name another --checkpoint") from error

    start = saved["step"] if saved else 0
    agreed(lambda: save(start) if lead else None)  # if it cannot be written, say so now
    restarted = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
    quiet = not lead or os.environ.get("GATUTILS_PROGRESS") == "0"
    bar = tqdm(range(start, args.steps), disable=quiet or None, delay=5, leave=False, unit="step")
    for step in bar:
        if step == args.fail_at and rank == world - 1 and not restarted:
            os.kill(os.getpid(), signal.SIGKILL)  # as a machine fails: without a last word
        optimizer.zero_grad()
        loss = torch.zeros((), dtype=torch.float64)
        for share, nodes in shares.items():
            # The gradients of all shares but the last wait in .grad, and are exchanged along with
            # its own. So only one share's states are in memory at a time.
            with nullcontext() if share == max(shares) else model.no_sync():
                part = share_loss(model, graph, nodes, args, step, share)
                part = part / (args.batch * args.shares)  # of the mean over the whole batch
                (part * world).backward()  # times world, since DDP averages over the processes
            loss += part.detach()
        optimizer.step()
        if (step + 1) % args.every == 0 or step + 1 == args.steps:
            dist.all_reduce(loss)
            if lead:
                save(step + 1)
                bar.write(f"step {step + 1} of {args.steps}: loss {loss:.4f}", file=sys.stdout)
    if lead:
        blocks = graph.sample(test, [-1, -1])
        with torch.no_grad():
            found = network.eval()(graph.features[blocks[0].sources], blocks).argmax(dim=1)
        right = (found == graph.labels[test]).double().mean()
        print(f"correct on {right:.1%} of {len(test)} test nodes")


def read(
    args: argparse.Namespace, rank: int, world: int
) -> tuple[Any, dict[int, Tensor], Tensor, dict[str, Any]]:
    """Return the graph, this process's shares, test nodes, and all that decides the weights."""
    count, folder = args.shares, args.folder
    stop_if(world > count, f"{count} shares are for at most {count} processes: start no more")
    graph = gat.load_graph(folder)
    mine = range(rank, count, world)
    shares = {k: gat.load_nodes(folder, f"share-{k}-of-{count}") for k in mine}
    least = min(map(len, shares.values()))
    stop_if(least < args.batch, f"a share has {least} nodes: choose a --batch of at most that")
    names = ("layer", "hidden", "heads", "dropout", "shares", "batch", "sizes", "lr", "seed")
    settings = {name: getattr(args, name) for name in names}
    settings["graph"] = gat.graph_fingerprint(folder)
    return graph, shares, gat.load_nodes(folder, "test")[:1000], settings


def agreed(work: Callable[[], Result]) -> Result:
    """Do something in each process; if it fails in one, stop all, and let the first say why."""
    result, problem = None, ""
    try:
        result = work()
    except (Stop, OSError, ValueError, ImportError) as error:
        problem = str(error)
    problems = [""] * dist.get_world_size()
    dist.all_gather_object(problems, problem)
    if any(problems):
        raise Stop(next(filter(None, problems)) if dist.get_rank() == 0 else "")
    return result  # type: ignore[return-value]


def stop_if(condition: object, sentence: str) -> None:
    """Stop with a sentence if something holds."""
    if condition:
        raise Stop(sentence)


def run(args: argparse.Namespace) -> None:
    """Find the other processes, train, and part from them."""
    place = [os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")]
    stop_if(None in place, "not started by torchrun: put `torchrun --nproc-per-node 2` before it")
    # Restarted processes would look for each other where they were: see PyTorch issue 135712.
    stale = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    restarts = os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0"
    need = "put TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 before it, and --standalone or --rdzv-backend"
    stop_if(stale and restarts, f"torchrun cannot restart like this: {need} c10d after it")
    where = "process {} of {}, {}:{}".format(*place)
    wait = timedelta(seconds=args.timeout)
    try:
        dist.init_process_group("gloo", timeout=wait)
    except (dist.DistError, RuntimeError) as error:
        stop = f"{where}: the others did not come in {wait}: start them too, or raise --timeout"
        raise Stop(stop) from error
    try:
        train(args)
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)  # the frames hold the model
        if not (isinstance(error, RuntimeError) and "gloo" in str(error).lower()):
            raise
        stop = f"{where}: another process was lost: start again, from the last checkpoint"
        raise Stop(stop) from error
    finally:
        # Free the model first; it is part of a reference cycle. If it held the last reference to
        # the group, freeing it later would wait for the group's threads while holding the GIL, and
        # one of them may be waiting for the GIL: a deadlock.
        gc.collect()
        dist.destroy_process_group()


def main(words: list[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("prepare", help="write a graph and the shares of its nodes")
    command.add_argument("--random", type=int, help="so many nodes, instead of SciPy's API")
    command.add_argument("--double", action="store_true", help="train in float64")
    command = commands.add_parser("train", help="train, under torchrun")
    command.add_argument("--checkpoint", type=Path, help="default: FOLDER/checkpoint.pt")
    command.add_argument("--layer", choices=["gat", "gatv2", "pyg"], default="gat")
    for name, default in (("hidden", 8), ("heads", 4), ("batch", 32), ("steps", 200)):
        command.add_argument(f"--{name}", type=int, default=default)
    command.add_argument("--sizes", type=int, nargs=2, default=[10, 5], help="edges per node")
    command.add_argument("--dropout", type=float, default=0.0)
    command.add_argument("--lr", type=float, default=0.01)
    command.add_argument("--every", type=int, default=20, help="steps between two checkpoints")
    command.add_argument("--timeout", type=float, default=60, help="seconds to wait for others")
    command.add_argument("--fail-at", type=int, help="kill the last process there, to see it heal")
    for command in commands.choices.values():
        command.add_argument("folder", type=Path)
        command.add_argument("--shares", type=int, default=4)
        command.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(words)
    try:
        if args.command == "prepare":
            prepare(args)
        else:
            args.checkpoint = args.checkpoint or args.folder / "checkpoint.pt"
            run(args)
    except Stop as stop:
        if str(stop):
            print(f"distributed.py: {stop}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
