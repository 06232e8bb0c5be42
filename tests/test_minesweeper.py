"""Minesweeper: the board, the network that finds the mines, and the ROC AUC."""

import itertools
from dataclasses import replace
from typing import Any

import networkx as nx
import pytest
import torch
from helpers import not_none
from hypothesis import given
from hypothesis import strategies as st

from gatutils.book.experiments import minesweeper as module
from gatutils.book.experiments.attention import fix_equal_weights
from gatutils.book.experiments.minesweeper import (
    MineBlock,
    MineNet,
    MinePlan,
    fit_mines,
    roc_auc,
    shown_board,
    shown_to,
)
from gatutils.book.protocols import ROWS
from gatutils.book.tasks.minesweeper import HIDDEN, MOST, minesweeper, split_cells
from gatutils.graph_attention import GATConv, GATv2Conv
from gatutils.message_passing import GCNConv, SAGEConv

LAYERS = ["GCN", "SAGE", "GAT", "GATv2", "GAT-sep"]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def board(size=6, seed=0, **shares):
    """A board, its features and its labels."""
    graph = minesweeper(size, generator(seed), **shares)
    return graph, not_none(graph.features), not_none(graph.labels)


# ---- The board -----------------------------------------------------------------------------------


@given(st.integers(1, 9), st.integers(0, 99), st.floats(0, 1), st.floats(0, 1))
def test_a_board_follows_the_rules_of_the_game(size, seed, mines, hidden):
    graph, features, labels = board(size, seed, mines=mines, hidden=hidden)
    king = nx.strong_product(nx.path_graph(size), nx.path_graph(size))  # the moves of a king
    edges = {(a * size + b, c * size + d) for (a, b), (c, d) in king.edges}
    pairs = list(zip(graph.source.tolist(), graph.target.tolist(), strict=True))
    assert sorted(pairs) == sorted(edges | {(j, i) for i, j in edges})
    assert pairs == sorted(pairs, key=lambda pair: pair[::-1])
    assert features.shape == (size * size, 2 + MOST)
    assert torch.equal(features.sum(dim=1), torch.ones(size * size))
    assert set(labels.tolist()) <= {0, 1}
    assert labels.sum() == round(mines * size * size)
    assert features[:, HIDDEN].sum() == round(hidden * size * size)
    for cell in range(size * size):
        if not features[cell, HIDDEN]:
            count = sum(int(labels[j]) for j, i in pairs if i == cell)
            assert features[cell].argmax() == 1 + min(count, MOST)


def test_the_board_has_the_size_and_the_shares_of_the_published_one():
    graph, features, labels = board(100)
    assert (graph.num_nodes, graph.num_edges) == (10_000, 2 * 39_402)
    assert (features.shape[1], labels.sum(), features[:, HIDDEN].sum()) == (7, 2000, 5000)
    # A mine is as likely to be hidden as any other cell.
    assert 0.45 < features[labels == 1, HIDDEN].mean() < 0.55


def test_boards_are_drawn_by_their_seed():
    one, again, other = (board(seed=seed)[1] for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@given(st.lists(st.integers(0, 1), max_size=60), st.integers(0, 99))
def test_a_split_shares_out_the_mines_and_the_other_cells(labels, seed):
    given_ = torch.tensor(labels, dtype=torch.long)
    split = split_cells(given_, generator(seed))
    sets = torch.stack([split.train, split.valid, split.test])
    assert torch.equal(sets.sum(dim=0), torch.ones(len(labels), dtype=torch.long))
    for label in (0, 1):
        count = labels.count(label)
        shares = sets[:, given_ == label].sum(dim=1).tolist()
        assert shares[0] == count // 2
        assert shares[1] == count * 3 // 4 - count // 2


def test_a_board_of_nothing_and_shares_beyond_all_are_refused(unchecked):
    with pytest.raises(ValueError, match="size: expected an int of at least 1"):
        minesweeper(0, generator())
    for name in ("mines", "hidden"):
        shares: dict[str, Any] = {name: 1.5}
        with pytest.raises(ValueError, match=f"{name}: expected a share from 0 to 1, got 1.5"):
            minesweeper(3, generator(), **shares)
    with pytest.raises(TypeError, match="labels: expected"):
        split_cells(torch.ones(3), generator())


# ---- ROC AUC -------------------------------------------------------------------------------------

scored = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=30)


@given(scored.filter(lambda pairs: 0 < sum(label for _, label in pairs) < len(pairs)))
def test_the_roc_auc_is_the_share_of_pairs_in_order(pairs):
    yes, no = ([score for score, label in pairs if label is want] for want in (True, False))
    share = [(a > b) + (a == b) / 2 for a, b in itertools.product(yes, no)]
    scores = torch.tensor([float(score) for score, _ in pairs])
    labels = torch.tensor([label for _, label in pairs])
    assert roc_auc(scores, labels) == pytest.approx(sum(share) / len(share))
    assert roc_auc(-scores, labels) == pytest.approx(1 - roc_auc(scores, labels))
    assert roc_auc(scores.exp(), labels) == roc_auc(scores, labels)  # only the order counts


def test_the_roc_auc_needs_both_kinds():
    with pytest.raises(ValueError, match="labels: expected a positive and a negative"):
        roc_auc(torch.rand(3), torch.ones(3))
    with pytest.raises(ValueError, match="labels: expected 3 of them, got 2"):
        roc_auc(torch.rand(3), torch.ones(2))


# ---- The network ---------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", LAYERS)
def test_a_network_gives_one_logit_per_cell_and_sees_as_far_as_it_is_deep(layer):
    torch.manual_seed(0)
    net = MineNet(layer, 8, 2, 4).double().eval()
    graph, features, _ = board(7)
    features = features.double().requires_grad_()
    logits = net(features, graph)
    assert logits.shape == (49,)
    (gradient,) = torch.autograd.grad(logits[0], features)
    reached = gradient.abs().sum(dim=1).view(7, 7).nonzero().tolist()
    assert reached == [[row, column] for row in range(3) for column in range(3)]


@pytest.mark.parametrize("layer", LAYERS)
def test_a_block_aggregates_as_the_layer_of_its_name(layer):
    """Its norm is the identity here, and its feed-forward network adds up what it is given."""
    torch.manual_seed(0)
    block: Any = MineBlock(layer, 8, 2, 0.0).double().eval()
    graph = board(4)[0]
    graph = graph if block.separate else graph.with_self_loops()
    states = torch.randn(16, 8, dtype=torch.double)
    block.norm = torch.nn.Identity()
    block.feed_forward = torch.nn.Linear(16 if block.separate else 8, 8, bias=False).double()
    own, summed = 3 * torch.eye(8).double(), torch.eye(8).double()
    block.feed_forward.weight.data = torch.cat([own, summed], dim=1) if block.separate else summed
    added = block(states, graph) - states - 3 * states * block.separate
    identity, made = torch.eye(8).double(), {"GAT": GATConv, "GAT-sep": GATConv, "GATv2": GATv2Conv}
    if layer == "GCN":
        plain: Any = GCNConv(8, 8).double()
        plain.W.weight.data, plain.b.data = identity, torch.zeros(8).double()
    elif layer == "SAGE":
        plain = SAGEConv(8, 8).double()
        plain.W.weight.data, plain.U.weight.data = torch.zeros(8, 8).double(), identity
        plain.U.bias.data = torch.zeros(8).double()
    else:
        plain = made[layer](8, 4, 2).double()
        plain.load_state_dict(block.attention.state_dict())
    torch.testing.assert_close(added, plain(states, graph))


def test_attention_weights_are_those_of_each_block():
    torch.manual_seed(0)
    graph, features, _ = board(5)
    kinds: list[Any] = ["GAT", "GAT-sep"]
    for layer, edges in zip(kinds, (graph.with_self_loops(), graph), strict=True):
        net = MineNet(layer, 8, 3, 2)
        found = net.attention_weights(features, graph)
        assert not net.training
        assert torch.equal(net.edges(graph).edge_index, edges.edge_index)
        states: Any = net.read(features)
        blocks: Any = net.blocks
        for block, weights in zip(blocks, found, strict=True):
            _, alpha = block.attention(block.norm(states), edges, return_attention_weights=True)
            assert torch.equal(alpha, weights)
            states = block(states, edges)
    kinds = ["GCN", "SAGE"]
    for layer in kinds:
        assert MineNet(layer, 8, 3, 2).attention_weights(features, graph) == []


def test_equal_weights_stay_equal_and_are_not_trained():
    torch.manual_seed(0)
    graph, features, _ = board(5)
    net = MineNet("GAT", 8, 2, 4)
    size = sum(p.numel() for p in net.parameters())
    fix_equal_weights(net)
    assert size - sum(p.numel() for p in net.parameters() if p.requires_grad) == 2 * 16
    looped = graph.with_self_loops()
    for weights in net.attention_weights(features, graph):
        torch.testing.assert_close(weights[:, 0], 1 / looped.degree[looped.target].float())


def test_other_layers_and_heads_are_refused(unchecked):
    wrong: Any = "GIN"
    with pytest.raises(ValueError, match="layer: expected a MineLayer, got 'GIN'"):
        MineNet(wrong, 8, 1, 2)
    with pytest.raises(ValueError, match=r"heads: expected a divisor of dim \(8\), got 3"):
        MineNet("GAT", 8, 1, 3)
    with pytest.raises(ValueError, match="depth: expected an int of at least 1"):
        MineNet("GAT", 8, 0, 2)


# ---- The training --------------------------------------------------------------------------------


def test_the_parameters_of_the_best_validation_are_restored():
    graph, _, labels = board(8)
    split = split_cells(labels, generator())
    net, kept, told = MineNet("SAGE", 8, 2, 1), [], iter([0.1, 0.5, 0.9, 0.2, 0.3])

    def judge(*_):
        kept.append([p.detach().clone() for p in net.parameters()])
        return next(told)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "roc_auc", judge)
        found = fit_mines(net, graph, split.train, split.valid, steps=10, every=2, lr=0.05)
    assert found == (6, 0.9)
    assert all(map(torch.equal, net.parameters(), kept[2]))
    assert not all(map(torch.equal, net.parameters(), kept[-1]))


def test_a_network_learns_to_find_mines():
    torch.manual_seed(0)
    graph, features, labels = board(30)
    split = split_cells(labels, generator())
    net = MineNet("SAGE", 8, 2, 1)
    _, validation = fit_mines(net, graph, split.train, split.valid, steps=40, every=4, lr=0.05)
    with torch.no_grad():
        assert roc_auc(net.eval()(features, graph)[split.valid], labels[split.valid]) == validation
    assert validation > 0.65


def test_only_the_labels_of_the_training_cells_enter_the_loss():
    graph, features, labels = board(8)
    split = split_cells(labels, generator())
    found = []
    for told in (labels, torch.where(split.test, 1 - labels, labels)):
        torch.manual_seed(0)
        net = MineNet("GCN", 8, 1, 1)
        changed = graph.with_features(features, told)
        fit_mines(net, changed, split.train, split.valid, steps=6, every=2, lr=0.05)
        found.append(torch.cat([p.flatten() for p in net.parameters()]))
    assert torch.equal(*found)


def test_a_shared_board_is_one_for_all_seeds_and_its_splits_are_not(monkeypatch):
    seen: list[Any] = []

    def train(net, graph, train, valid, *_, **options):
        seen.append((graph.features, train, valid, options))
        return 7, 0.5

    monkeypatch.setattr(module, "fit_mines", train)
    kinds: tuple[Any, Any] = ("own", "shared")
    for kind in kinds:
        for seed in (0, 1):
            MinePlan(layer="GCN", size=9, board=kind).run(seed)
    own, other, shared, again = seen
    assert torch.equal(shared[0], again[0])
    assert not torch.equal(own[0], other[0])
    assert not torch.equal(own[0], shared[0])
    for split in (1, 2):
        assert not torch.equal(own[split], other[split])
        assert not torch.equal(shared[split], again[split])
    plan = MinePlan(layer="GCN")
    assert seen[0][3] == {"steps": plan.steps, "every": plan.every, "lr": plan.lr}


def test_what_is_shown_is_what_the_network_says_of_the_small_board():
    torch.manual_seed(0)
    net, graph = MineNet("GAT", 8, 2, 2), shown_board(4)
    features = not_none(graph.features)
    found = shown_to(net, graph)
    chances = 100 * net.eval()(features, graph).sigmoid().detach()
    assert found["chances"] == [round(x) for x in chances.tolist()]
    first: Any = net.blocks[0]
    _, dense = first.attention.dense(first.norm(net.read(features)), graph.with_self_loops().mask())
    for head, rows in zip(dense.detach(), found["percents"], strict=True):
        for cell, row in enumerate(rows):
            near = graph.mask()[cell].nonzero().flatten().tolist()
            want = [100 * float(head[cell, j]) for j in [*near, cell]]
            assert row == pytest.approx(want, abs=0.51)


def test_the_models_of_the_row_have_one_budget():
    models: Any = ROWS["minesweeper"].models
    assert [name for name, plan in models.items() if plan.shown] == ["GAT"]
    for name, plan in models.items():
        layer: Any = name.split(", ")[0]
        board_: Any = "shared" if name.endswith("one board") else "own"
        equal = name.endswith("equal weights")
        assert replace(plan, shown=0) == MinePlan(layer=layer, board=board_, equal=equal)
