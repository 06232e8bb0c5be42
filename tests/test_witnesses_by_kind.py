"""Witnesses who are reliable for the nodes of one kind only, and networks that learn of whom."""

from typing import Any

import pytest
import torch

from gatutils.book.experiments.witnesses import KindPlan, best_by_kind, kind_net
from gatutils.book.tasks.witnesses import ANSWERS, RELIABLE, WITNESSES, witnesses_by_kind
from gatutils.graph import Graph
from gatutils.graph_attention import GATConv, GATv2Conv
from gatutils.message_passing import GCNConv


def drawn(count: int, kinds: int, seed: int = 0) -> Graph:
    return witnesses_by_kind(count, kinds, torch.Generator().manual_seed(seed))


def parts(graph: Graph, count: int, kinds: int) -> Any:
    """The answers named, the marks (both: targets x witnesses), the targets' kinds and truths."""
    features: Any = graph.features
    told, mark, kind = features.split([ANSWERS, kinds, kinds], dim=1)
    shape = (count, WITNESSES)
    named, marked = (part[count:].argmax(dim=1).view(shape) for part in (told, mark))
    labels: Any = graph.labels
    return named, marked, kind[:count].argmax(dim=1), labels[:count]


@pytest.mark.parametrize("kinds", [1, 3, 6])
def test_a_target_has_a_kind_and_a_witness_an_answer_and_a_mark(kinds):
    graph = drawn(30, kinds)
    features: Any = graph.features
    told, mark, kind = features.split([ANSWERS, kinds, kinds], dim=1)
    for part, nodes in ((told, slice(30, None)), (mark, slice(30, None)), (kind, slice(30))):
        assert part[nodes].sum(dim=1).eq(1).all()
        assert part.sum() == part[nodes].sum()  # nothing anywhere else
    labels: Any = graph.labels
    assert ((labels >= 0) == (torch.arange(graph.num_nodes) < 30)).all()


def test_a_target_attends_to_twelve_witnesses_and_to_itself():
    graph = drawn(5, 2)
    for node in range(5):
        sources = sorted(graph.source[graph.target == node].tolist())
        own = range(5 + WITNESSES * node, 5 + WITNESSES * (node + 1))
        assert sources == [node, *own]
    assert graph.num_edges == 5 * WITNESSES + graph.num_nodes


def test_a_witness_is_reliable_for_its_own_kind_only():
    count, kinds = 20_000, 4
    named, marked, kind, truth = parts(drawn(count, kinds), count, kinds)
    trusted = marked == kind[:, None]
    right = named == truth[:, None]
    assert trusted.float().mean() == pytest.approx(1 / kinds, abs=0.005)
    assert right[trusted].float().mean() == pytest.approx(RELIABLE, abs=0.005)
    assert right[~trusted].float().mean() == pytest.approx(1 / ANSWERS, abs=0.005)
    wrong = (named - truth[:, None])[trusted & ~right] % ANSWERS
    assert torch.bincount(wrong, minlength=ANSWERS)[1:].float().std() / len(wrong) < 0.01


def test_the_generator_draws_all():
    one, same, other = (drawn(20, 3, seed) for seed in (3, 3, 4))
    assert torch.equal(one.features, same.features)  # type: ignore[arg-type]
    assert not torch.equal(one.features, other.features)  # type: ignore[arg-type]


@pytest.mark.parametrize("kinds", [1, 2, 4])
def test_the_best_rule_against_a_count_by_hand(kinds):
    count = 60
    graph = drawn(count, kinds, seed=kinds)
    shares = []
    for named, marked, kind, truth in zip(*parts(graph, count, kinds), strict=True):
        votes = [0] * ANSWERS
        for answer, mark in zip(named.tolist(), marked.tolist(), strict=True):
            votes[answer] += mark == kind
        most = [answer for answer in range(ANSWERS) if votes[answer] == max(votes)]
        shares.append((truth in most) / len(most))
    assert best_by_kind(graph, kinds) == pytest.approx(sum(shares) / count, abs=1e-12)


@pytest.mark.parametrize(
    ("settings", "made"),
    [
        ({"layer": "GCN"}, [GCNConv]),
        ({"layer": "GCN", "before": True}, [torch.nn.Linear, GCNConv]),
        (
            {"layer": "GCN", "before": True, "after": True},
            [torch.nn.Linear, GCNConv, torch.nn.Linear],
        ),
        ({"layer": "GAT", "heads": 4}, [GATConv]),
        ({"layer": "GATv2"}, [GATv2Conv]),
    ],
)
def test_a_kind_net_has_the_layers_that_are_asked_for(settings, made):
    net = kind_net(kinds=3, **settings)
    assert len(net.layers) == len(made) + 1
    for layer, wanted in zip(net.layers, [*made, torch.nn.Linear], strict=True):
        assert isinstance(layer, wanted)
    graph = drawn(4, 3)
    states: Any = graph.features
    assert net(states, graph).shape == (graph.num_nodes, ANSWERS)
    for layer in net.layers:
        if isinstance(layer, GATConv | GATv2Conv):
            assert layer.heads * layer.out_features == 32
            assert layer.heads == settings.get("heads", 1)


def test_a_gcn_layer_counts_the_loop_of_the_graph_once():
    net, graph = kind_net("GCN", 2), drawn(3, 2)
    layer: Any = net.layers[0]
    same = GCNConv(layer.W.in_features, 32)
    same.load_state_dict(layer.state_dict())
    states: Any = graph.features
    torch.testing.assert_close(layer(states, graph), same(states, graph))


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: drawn(0, 2), ValueError, "count: .*at least 1, got 0"),
        (lambda: drawn(2, 0), ValueError, "kinds: .*at least 1, got 0"),
        (lambda: drawn(2, 1.5), TypeError, "kinds: .*1.5"),  # type: ignore[arg-type]
        (
            lambda: kind_net("dot", 2),
            ValueError,
            "layer: .*GATv2, GATv2-shared, got 'dot'",
        ),
        (lambda: kind_net("GAT", 2, heads=5), ValueError, "heads: .*divisor of 32, got 5"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_named(make, error, said):
    with pytest.raises(error, match=said):
        make()


def test_gatv2_learns_whom_to_trust_and_a_mean_does_not():
    """Two kinds, a short run: chance is 1/4, the best possible is 0.99."""
    gatv2, gcn = (KindPlan(layer=layer, kinds=2, steps=150).run(0) for layer in ("GATv2", "GCN"))
    assert gatv2["scores"][0] > gcn["scores"][0] + 0.03
    assert gatv2["parameters"] == 32 * 8 * 2 + 4 * 32 + 32 * 4 + 4
