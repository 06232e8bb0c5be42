"""What chapters 4 and 5 compare: layers that name the roles, and transformers without parts."""

from typing import Any

import pytest
import torch
from torch import nn

from gatutils.book.experiments.parts import (
    PartsPlan,
    Replacing,
    Zero,
    right_words,
    spread_of_states,
)
from gatutils.book.experiments.roles import (
    RolesPlan,
    WhoToWhom,
    named_correctly,
    naming_loss,
    questions,
)
from gatutils.book.tasks.sentences import ENGLISH, KOREAN, NOUNS, collate, sample_pairs
from gatutils.transformer import Block, Transformer

SIMPLE = sample_pairs(20, 0, split="test", seed=8)
NESTED = sample_pairs(20, 2, split="test", seed=8)


def test_each_verb_asks_for_its_subject_and_its_object():
    batch = collate(NESTED)
    (rows, verbs), answers = questions(batch)
    assert len(rows) == len(answers) == 3 * len(NESTED)  # the main verb and two in clauses
    nouns = list(NOUNS)
    for row, verb, (subject, thing) in zip(rows, verbs, answers.tolist(), strict=True):
        words = batch.pairs[row].english
        assert {nouns[subject], nouns[thing]} <= set(words)
        if verb == 2 + (words[1] not in NOUNS):  # of a subject without a clause
            assert nouns[subject] == words[verb - 1]


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_layers_add_to_what_they_receive(layers):
    torch.manual_seed(0)
    model = WhoToWhom(len(ENGLISH), positions=False, dim=8, heads=2, layers=layers)
    batch = collate(NESTED)
    x = model.embed(batch.source)
    for layer in model.self_attn:
        x = x + layer(x, x, batch.source_mask[:, None])[0]
    logits, weights = model(batch.source, batch.source_mask)
    torch.testing.assert_close(logits.flatten(2), model.name(x))
    assert weights.shape == (len(NESTED), 2, x.shape[1], x.shape[1])
    assert len(model.self_attn) == layers


class Knows(nn.Module):
    """Names the right nouns, or only the right subjects."""

    def __init__(self, objects):
        super().__init__()
        self.objects = objects

    def forward(self, words, mask):
        where, answers = questions(collate(NESTED))
        logits = torch.zeros(*words.shape, 2, len(NOUNS))
        named = answers.clone()
        if not self.objects:
            named[:, 1] = (named[:, 1] + 1) % len(NOUNS)
        logits[where] = 50.0 * nn.functional.one_hot(named, len(NOUNS))
        return logits, None


def test_subjects_and_objects_are_counted_apart():
    assert named_correctly(Knows(objects=True), NESTED) == [1, 1]
    assert named_correctly(Knows(objects=False), NESTED) == [1, 0]
    assert naming_loss(Knows(objects=True), collate(NESTED)) < 1e-5
    assert naming_loss(Knows(objects=False), collate(NESTED)) == pytest.approx(25, abs=1e-3)


def test_a_plan_of_roles_trains_as_many_layers_as_it_says():
    found = [RolesPlan(steps=2, layers=layers).run(0) for layers in (1, 2)]
    for made, count in zip(found, (19_280, 35_664), strict=True):
        assert made["parameters"] == count
        assert len(made["scores"]) == 2


def test_without_residuals_a_sublayer_replaces_its_input():
    model = PartsPlan(without="residuals").build()
    x, mask = torch.randn(2, 5, 32), torch.ones(2, 5, 5, dtype=torch.bool)
    block: Any = model.encoder.blocks[0]
    for stack in (model.encoder, model.decoder):
        assert all(isinstance(block, Replacing) for block in stack.blocks)
    y = block.norms[0](x)
    y = block.self_attn(y, y, mask)[0]
    torch.testing.assert_close(block(x, mask)[0], block.feed_forward(block.norms[1](y)))


def test_without_feed_forward_networks_only_attention_adds():
    model = PartsPlan(without="feed-forward").build()
    x, mask = torch.randn(2, 5, 32), torch.ones(2, 5, 5, dtype=torch.bool)
    block: Any = model.encoder.blocks[0]
    assert isinstance(block.feed_forward, Zero)
    y = block.norms[0](x)
    torch.testing.assert_close(block(x, mask)[0], x + block.self_attn(y, y, mask)[0])


def test_a_whole_plan_leaves_the_transformer_as_it_is():
    torch.manual_seed(3)
    model = PartsPlan().build()
    torch.manual_seed(3)
    same = Transformer(len(ENGLISH), len(KOREAN), 32, 4, 2, 64)
    assert type(model.encoder.blocks[0]) is Block
    for ours, theirs in zip(model.parameters(), same.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_spread_is_0_where_all_states_are_alike_and_at_most_1():
    torch.manual_seed(0)
    batch = collate(SIMPLE)
    whole, alike = PartsPlan().build(), PartsPlan(without="residuals").build()
    assert 0.3 < spread_of_states(whole, batch) <= 1
    assert spread_of_states(alike, batch) < 1e-4


def test_a_word_is_right_alone_and_a_sentence_as_a_whole():
    batch = collate(SIMPLE)
    real = batch.target_out != 0
    assert right_words(batch.target_out.clone(), batch) == [1, 1]
    padding = batch.target_out.masked_fill(~real, 1)  # which does not count
    assert right_words(padding, batch) == [1, 1]
    once = batch.target_out.clone()
    once[0, 0] += 1
    words, whole = right_words(once, batch)
    assert words == pytest.approx(1 - 1 / real.sum().item())
    assert whole == pytest.approx(1 - 1 / len(SIMPLE))
