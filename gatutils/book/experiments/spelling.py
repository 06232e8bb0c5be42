"""Chapters 1, 2 and 5: encoder-decoder models that learn how written words are pronounced."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gatutils.book.experiments.encoder_decoder import (
    EncoderDecoderPlan,
    Seq2SeqSizes,
    TransformerSizes,
)
from gatutils.book.tasks.spelling import (
    LETTERS,
    PHONEMES,
    Spelling,
    SpellingErrors,
    batches,
    collate,
    errors,
    pronunciations,
    spellings,
)
from gatutils.book.tasks.vocabulary import Batch
from gatutils.decoding import Hypothesis, Translator, greedy
from gatutils.seq2seq import Seq2Seq
from gatutils.transformer import Transformer


@dataclass(frozen=True, kw_only=True)
class SpellingPlan(EncoderDecoderPlan):
    """A model that pronounces English words, letter by letter into phonemes.

    Its scores are the word error rate and the phoneme error rate on all words of the test split,
    then the word error rate for each length; see
    :func:`~gatutils.book.tasks.spelling.errors`. The mean training loss of the last 50 steps and
    the number of parameters are stored too.

    Attributes:
        shown: Words whose pronunciation is stored, in phonemes, and if the model attends, its
            attention weights in percent: one row per phoneme and one for the end token.
    """

    steps: int = 1500
    lr: float = 3e-3
    shown: tuple[str, ...] = ()

    def run(self, seed: int) -> dict[str, Any]:
        """Train on batches drawn with the seed, and pronounce the test split."""
        model, losses = self.trained(batches(self.batch_size, seed), seed)
        found = spelling_errors(model, spellings("test"))
        last = losses[-50:]
        stored: dict[str, Any] = {
            "scores": [found.words, found.phonemes, *found.by_length],
            "loss": sum(last) / len(last),
            "parameters": sum(p.numel() for p in model.parameters()),
        }
        if self.shown:
            hypotheses = pronounced(model, collate([pronunciations()[w] for w in self.shown]))
            stored["said"] = [" ".join(PHONEMES.decode(list(h.words))) for h in hypotheses]
            looks = [h.weights for h in hypotheses if h.weights is not None]
            if looks:
                stored["percents"] = [(100 * w).round().int().tolist() for w in looks]
        return stored


@dataclass(frozen=True, kw_only=True)
class SpellingSeq2SeqPlan(Seq2SeqSizes, SpellingPlan):
    """A recurrent encoder-decoder model that pronounces words."""

    hidden: int = 128

    def build(self) -> Seq2Seq:
        """Return the untrained model."""
        return self.make(len(LETTERS), len(PHONEMES))


@dataclass(frozen=True, kw_only=True)
class SpellingTransformerPlan(TransformerSizes, SpellingPlan):
    """A transformer that pronounces words."""

    def build(self) -> Transformer:
        """Return the untrained model."""
        return self.make(len(LETTERS), len(PHONEMES))


def pronounced(model: Translator, batch: Batch[Spelling]) -> list[Hypothesis]:
    """Return what greedy decoding says for each word.

    Args:
        model: Anything that :func:`~gatutils.decoding.greedy` can decode.
        batch: The words to pronounce.
    """
    return greedy(model, batch.source, batch.source_mask, max_length=40)


def spelling_errors(model: Translator, words: Sequence[Spelling]) -> SpellingErrors:
    """Return the error rates of greedy decoding.

    Args:
        model: Anything that :func:`~gatutils.decoding.greedy` can decode.
        words: The words to pronounce.
    """

    def pronounce(batch: Batch[Spelling]) -> list[tuple[int, ...]]:
        return [h.words for h in pronounced(model, batch)]

    return errors(pronounce, words)


FAMILIAR: tuple[str, ...] = tuple(
    """
    a able about above accent ache aisle align alphabet although anchor angel angle answer
    anxious apple arch archive asthma attend attention author autumn average awful axis baby
    ballet bear beard beautiful beauty because bird biscuit blood boat book bough bought bread
    break breakfast breath breathe bridge broad brought build business busy butcher calf calm
    camera canyon castle catch caught caution cello chaos character characteristic cheese chef
    chemistry choir chord christmas church circle clothes cocoa coffee colleague colonel color
    comb comfortable communication computer conscience constitutional coral cough could country
    couple cousin crumb cupboard curve damage daughter dead debt decoder deep dictionary disease
    does dolphin double doubt dough draught eagle early earth echo edge eight elephant engine
    enough entrepreneur envelope equation error exam example extraordinary eye father feather
    fight fire flight flood flour flower foreign fountain friend fruit future garage gauge
    genius geography ghost giant giraffe give gnome gold graph great green group guess guide
    guitar hair half handkerchief head health heart height heir hide honest honey honor horse
    hour house hymn idea illegal image imagination inch ink input instead international iron
    island issue jewel journey judge juice jump key king kitchen knee knife knight knit knock
    knot know knowledge label ladder lamb language laugh layer league learn length letter light
    limb listen little lose love machine magic magician many margin marriage mask matrix measure
    mechanism message middle minute misunderstanding model monday money monk monkey month moon
    mother mountain mouse mouth move muscle music mustache nation nature naughty neck neighbor
    network neural niece night node noise nothing numb number ocean of office often olive one
    onion orange orchestra oven oxygen people pharmacy phone photograph physics piano picture
    pigeon pizza plough plumber pneumonia police position pour pretty prince psalm psychology
    pumpkin query question queue quick quiet quilt raspberry read receipt recipe record
    recurrent religion representative responsibility rhyme rhythm right river road rough route
    sandwich scene school science scissors score sea search seat sequence sew shadow shoe should
    shoulder show sign singer sleigh slow soft soldier solemn son soul sound soup spaghetti
    speech square stomach strength subtle sugar sure sweat sword table talk target taught teach
    teacher temperature theater their thing think thorough though thought thousand through throw
    thumb tie tiger tissue toe tomb tomorrow tongue tooth touch tough tour toward train
    transformer translate treasure trouble tube two understanding unique unit vague value vector
    vegetable vehicle view village violin vision voice walk warm wash watch water wednesday
    weight weird wheel where which whistle who whole wolf woman women wonder wood word work
    world worry would wrap wreck wrist write wrong xylophone yacht year yellow yolk young your
    zebra zero
    """.split()
)
"""Familiar words, of both splits, that chapter 2's figure looks up."""
