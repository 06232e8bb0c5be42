"""Chapter 12's network, trained on sampled neighbourhoods."""

from dataclasses import replace

import pytest
import torch
from helpers import not_none

from gatutils.book.experiments import fit_sampled, sampled_accuracy, sampled_net
from gatutils.book.experiments.sampling import SamplingPlan
from gatutils.book.tasks.graphs import planted_classes
from gatutils.training import seed_everything

GRAPH = planted_classes(200, 0).with_self_loops()
SOME = torch.arange(0, 200, 3)
PLAN = SamplingPlan(fan_out=3, nodes=200, train=60, batch=20, steps=3)


def made():
    seed_everything(0)
    return sampled_net(32, 8)


def test_the_network_is_two_layers_of_attention():
    net = made()
    assert net(GRAPH.features, GRAPH).shape == (200, 8)
    assert [(layer.heads, layer.out_features) for layer in net.layers] == [(4, 8), (1, 8)]


def test_with_all_neighbours_the_accuracy_is_that_on_the_whole_graph():
    net = made()
    whole = sampled_accuracy(net, GRAPH, SOME, None)
    for batch in (7, 1000):
        assert sampled_accuracy(net, GRAPH, SOME, [-1, -1], batch=batch) == whole
    right = net(GRAPH.features, GRAPH).argmax(dim=1)[SOME] == not_none(GRAPH.labels)[SOME]
    assert whole == pytest.approx(right.double().mean().item())


def test_edges_of_a_step_are_counted():
    """A self-loop per target, and so many others."""
    whole = fit_sampled(made(), GRAPH, SOME, None, steps=2, batch=5, lr=0.01)
    assert whole == 2 * GRAPH.num_edges
    none = fit_sampled(made(), GRAPH, SOME, [0, 0], steps=2, batch=5, lr=0.01)
    assert none == 2 * 5
    two = fit_sampled(made(), GRAPH, SOME, [2, 2], steps=2, batch=5, lr=0.01)
    assert 5 * 3 + 5 * 3 < two <= 5 * 3 + 15 * 3


def test_it_learns_from_the_neighbours_and_the_seed_decides_all():
    nets = [made() for _ in range(3)]
    for net, seed in zip(nets, (0, 0, 1), strict=True):
        fit_sampled(net, GRAPH, SOME, [5, 5], seed, steps=40, batch=20, lr=0.02)
    one, again, other = (torch.cat([p.flatten() for p in net.parameters()]) for net in nets)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert sampled_accuracy(nets[0], GRAPH, SOME, None) > 0.6  # of the training nodes; chance 1/8


def test_a_run_without_edges_attends_to_the_node_alone():
    found = replace(PLAN, fan_out=None, edges=False).run(0)
    assert found["scores"][0] == found["scores"][1]
    assert found["edges"] == 2 * 200


def test_a_run_tells_what_it_found():
    found = PLAN.run(1)
    assert set(found) == {"scores", "edges", "milliseconds"}
    assert found["edges"] < 20 * 4 + 80 * 4
    with pytest.raises(ValueError, match="train: expected less than nodes"):
        replace(PLAN, train=200).run(0)
