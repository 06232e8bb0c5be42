"""What distinguishes the GAT of the authors' code from that of their paper."""

import math
from dataclasses import asdict
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import leaky_relu

from gatutils.book.experiments import ladder, published
from gatutils.book.experiments.ladder import RULES, AuthorsGATConv, LadderPlan
from gatutils.book.protocols import LADDERS, PUBLISHED
from gatutils.graph import Graph
from gatutils.graph_attention import GATConv
from gatutils.planetoid import Planetoid
from gatutils.sparse import CSRMatrix
from gatutils.training import EarlyStopping


def drawn_by(seed):
    """Random numbers of this seed's own."""
    return torch.Generator().manual_seed(seed)


OPTIONS = ["dropout_of_values", "dropout_per_head", "score_biases", "head_biases", "wider_start"]


def small():
    """A graph of twenty nodes with self-loops, and sparse features for it."""
    rng = drawn_by(3)
    mask = (torch.rand(20, 20, generator=rng) < 0.2) | torch.eye(20, dtype=torch.bool)
    states = torch.randn(20, 6, generator=rng)
    return Graph.from_mask(mask), states * (torch.rand(20, 6, generator=rng) < 0.6)


def layer(**options):
    torch.manual_seed(1)
    made = AuthorsGATConv(6, 3, 2, dropout=0.6, **options)
    for bias in (made.b_scores, made.b_heads):
        if bias is not None:
            nn.init.normal_(bias)
    return made


@pytest.mark.parametrize("sparse", [False, True])
def test_without_its_options_it_is_the_layer_of_the_paper(sparse):
    graph, states = small()
    ours, paper = layer(), GATConv(6, 3, 2)
    paper.load_state_dict(ours.state_dict())
    given = CSRMatrix.from_dense(states) if sparse else states
    torch.testing.assert_close(ours.eval()(given, graph), paper(states, graph))
    ours.train().dropout = 0.0
    torch.testing.assert_close(ours(given, graph), paper(states, graph))


@pytest.mark.parametrize("option", OPTIONS[:2])
@pytest.mark.parametrize("sparse", [False, True])
def test_dropout_plays_no_part_in_evaluation_or_at_probability_zero(option, sparse):
    graph, states = small()
    given = CSRMatrix.from_dense(states) if sparse else states
    ours, plain = layer(**{option: True}), layer()
    expected = plain.eval()(given, graph)
    assert torch.equal(ours.eval()(given, graph), expected)
    ours.train().dropout = 0.0
    torch.testing.assert_close(ours(given, graph), expected)
    ours.dropout = 0.6
    assert not torch.allclose(ours(given, graph), expected)


def without_random_numbers(patch, masks):
    """Let dropout of the layer multiply by what ``masks`` returns for a tensor."""
    patch.setattr(ladder, "dropout_mask", lambda values, _: masks(values))
    patch.setattr(CSRMatrix, "dropout", lambda self, _: self)


def test_dropout_of_the_values_leaves_the_scores_as_they_are(monkeypatch):
    _, states = small()
    ours = layer(dropout_of_values=True).train()
    kept = (torch.rand(20, 2, 3, generator=drawn_by(5)) < 0.5) * 2.0
    without_random_numbers(monkeypatch, lambda x: kept if x.ndim == 3 else torch.ones_like(x))
    query, key, value = ours.project(states)
    assert torch.equal(query, key)
    assert torch.equal(value, query * kept)
    torch.testing.assert_close(query, layer().eval().project(states)[0])


@pytest.mark.parametrize("sparse", [False, True])
def test_dropout_per_head_is_a_mask_of_the_inputs_for_each_head(monkeypatch, sparse):
    _, states = small()
    ours = layer(dropout_per_head=True).train()
    drawn = []

    def masks(values):
        drawn.append((torch.rand(values.shape, generator=drawn_by(6)) < 0.5) * 2.0)
        return drawn[-1]

    without_random_numbers(monkeypatch, masks)
    given = CSRMatrix.from_dense(states) if sparse else states
    found, _, _ = ours.project(given)
    (mask,) = drawn
    assert not torch.equal(mask[0], mask[1])
    for head in range(2):
        seen = states * mask[head] if not sparse else given._with(given.values * mask[head])
        seen = seen.to_dense() if sparse else seen
        torch.testing.assert_close(found[:, head], seen @ ours.W[head].T)


def test_the_biases_shift_each_half_of_the_score_and_each_head():
    graph, states = small()
    ours = layer(score_biases=True, head_biases=True).eval()
    projected = torch.stack([states @ W.T for W in ours.W])  # (heads, nodes, out)
    a_1, a_2 = ours.a.split(3, dim=1)
    halves = [
        torch.einsum("hno,ho->hn", projected, a) + b.unsqueeze(1)
        for a, b in zip((a_1, a_2), ours.b_scores, strict=True)
    ]
    scores = leaky_relu(halves[0].unsqueeze(2) + halves[1].unsqueeze(1), 0.2)
    weights = scores.masked_fill(~graph.mask(), -math.inf).softmax(dim=2)
    out = (weights @ projected).transpose(0, 1) + ours.b_heads
    torch.testing.assert_close(ours(states, graph), out.flatten(1))
    ours.concat = False
    torch.testing.assert_close(ours(states, graph), out.mean(dim=1))


@pytest.mark.parametrize(("wider", "width"), [(False, 2 * 64), (True, 64)])
def test_the_score_starts_within_the_bound_of_its_layer(wider, width):
    torch.manual_seed(0)
    bound = math.sqrt(6 / (width + 1))
    a = AuthorsGATConv(4, 64, 8, wider_start=wider).a
    assert 0.97 * bound < a.abs().max() <= bound


def papers():
    """Sixty papers of three classes, whose words betray the class."""
    labels = torch.arange(60) % 3
    rng = drawn_by(0)
    near = labels.unsqueeze(1) == labels
    mask = torch.rand(60, 60, generator=rng) < torch.where(near, 0.1, 0.02)
    topic = torch.arange(24) % 3 == labels.unsqueeze(1)
    words = (torch.rand(60, 24, generator=rng) < 0.1 + 0.2 * topic).float()
    graph = Graph.from_mask(mask | mask.T).with_features(words, labels)
    node = torch.arange(60)
    return Planetoid(graph, node < 12, (node >= 12) & (node < 32), node >= 32, 3)


PLAN = LadderPlan(data="cora", steps=60, lr=0.05)


@pytest.mark.parametrize("rule", range(3))
def test_each_rule_chooses_what_it_would_have_chosen_alone(monkeypatch, rule):
    data = papers()
    monkeypatch.setattr(
        ladder, "EarlyStopping", lambda look, monitor: EarlyStopping(look, 6, monitor)
    )
    torch.manual_seed(4)
    found = PLAN.train(data, 24, 4)
    torch.manual_seed(4)
    net = PLAN.network(24, 3)
    train, valid = (published.seen_from(data, nodes) for nodes in (data.train, data.valid))

    def validate(model):
        value, accuracy = published.loss_and_accuracy(model(*valid.inputs), valid.labels)
        return float(value), accuracy

    alone = EarlyStopping(validate, 6, RULES[rule])
    published.fit_published(
        net,
        lambda model, _: published.loss_and_accuracy(model(*train.inputs), train.labels)[0],
        60,
        lr=0.05,
        weight_decay=PLAN.weight_decay,
        seed=4,
        stop=alone,
    )
    alone.restore(net)
    assert (found["steps"][rule], found["best"][rule]) == (alone.steps, 1 + (alone.best or 0))
    scores = published.scores_on(net, *published.inputs(data), data)
    assert [found["scores"][rule], found["valid"][rule]] == scores
    assert found["steps"][0] == max(found["steps"])  # what resets both is whatever resets one


@pytest.mark.parametrize("rung", range(5))
def test_what_the_loss_sees_is_all_that_it_depends_on(rung):
    """In value and gradients; without dropout, since a mask of fewer nodes is another one."""
    data = papers()
    plan: Any = list(LADDERS["citeseer-ladder"].values())[rung]
    torch.manual_seed(4)
    net = plan.network(24, 3).double()
    for made in net.layers:
        made.dropout = 0.0
    given, graph = published.inputs(data)
    view = published.seen_from(data, data.train)
    assert view.inputs[1][-1].graph.num_edges < graph.num_edges / 2  # and yet
    found = []
    for part, nodes in ((view.inputs, slice(None)), ((given, graph), data.train)):
        features, edges = part
        logits = net(features.to(dtype=torch.float64), edges)[nodes]
        loss, accuracy = published.loss_and_accuracy(logits, view.labels)
        found.append((loss, accuracy, *torch.autograd.grad(loss, net.parameters())))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("option", [None, *OPTIONS[:2]])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_target_is_dropped_out_as_a_source_is(option, sparse):
    graph, states = small()
    ours = layer(**({option: True} if option else {})).train()
    (block,) = graph.sample(torch.tensor([3, 0, 7]), [-1])
    source = states[block.sources]
    given = CSRMatrix.from_dense(source) if sparse else source
    met = []

    def score(query, key, graph, edge_features=None):
        met.append((query, key))
        return AuthorsGATConv.score(ours, query, key, graph, edge_features)

    ours.score = score
    ours(given, block)
    ((query, key),) = met
    assert query is key  # its first rows are those of the targets
    assert len(key) == len(block.sources) > 3


@pytest.mark.parametrize("row", LADDERS)
def test_the_ends_of_the_ladder_differ_in_every_option_and_in_nothing_else(row):
    paper, code = (asdict(LADDERS[row][name]) for name in ("paper", "code"))
    assert [(name, paper[name], code[name]) for name in paper if paper[name] != code[name]] == [
        (name, False, True) for name in OPTIONS
    ]


@pytest.mark.parametrize("row", LADDERS)
def test_the_paper_has_the_settings_of_the_paper(row):
    paper: Any = LADDERS[row]["paper"]
    other: Any = PUBLISHED[row.replace("ladder", "gat")]
    for name in ("data", "steps", "lr", "weight_decay", "heads_out"):
        assert getattr(paper, name) == getattr(other, name)
    net = paper.network(50, 3)
    same = published.gat_net(50, 3, paper.heads_out)
    assert [tuple(p.shape) for p in net.parameters()] == [tuple(p.shape) for p in same.parameters()]
