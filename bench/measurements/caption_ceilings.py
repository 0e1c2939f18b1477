"""What captions of the embedded scenes can score: speakers who know the scene and its grammar.

References are drawn from a grammar that leaves a speaker much choice: which object, what first, which word. So even
true sentences differ from them. Three speakers bound what a decoder can reach: one says any true sentence, one the
likeliest word after the words before it, as a perfect autoregressive decoder would greedily, and one the sentence that
agrees best with what others would say of the same scene (minimum Bayes risk).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np

from bench.config.studies import MeasureOptions
from bench.console import progress
from bench.data.scenes.captions import describe
from bench.data.scenes.elements import Scene
from bench.data.scenes.scene import SEED, render
from bench.data.scenes.worlds import WORLDS
from reports.tables.table import pipe_table
from results.store import write_atomically
from tasks.metrics import ptb
from tasks.metrics.captions import score

WORLD = WORLDS["rooms"]
ANY = "any true sentence"
GREEDY = "the likeliest word, one after another"
CHOSEN = "the sentence most like the others"
ORDERS = range(1, 5)
SHOWN = ("BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr")
FLOOR = 1e-3  # of a precision, so that its logarithm exists

Grams = list[Counter[tuple[str, ...]]]


def measure_captions(options: MeasureOptions) -> str:
    """Let the speakers describe the validation scenes and write ``speakers.md`` and ``.json`` into ``options.out``.

    Returns:
        The Markdown table.
    """
    references: dict[int, list[str]] = {}
    sentences: dict[str, dict[int, str]] = {ANY: {}, GREEDY: {}, CHOSEN: {}}
    with progress("describing scenes") as report:
        for index in range(options.images):
            scene = render("val2017", index)
            references[index] = ptb.tokenize([caption.text for caption in scene.captions])
            sentences[ANY][index], sentences[CHOSEN][index] = _sentences(scene, options, index)
            sentences[GREEDY][index] = _word_by_word(scene, options, index)
            report(index + 1, options.images)
    scores = {who: score(references, hypotheses).values for who, hypotheses in sentences.items()}
    settings = {"images": options.images, "draws": options.draws, "imagined": options.imagined, "seed": options.seed}
    data = {**settings, "scenes": SEED, "speakers": scores}
    text = _markdown(scores, options)
    write_atomically(options.out / "speakers.json", (json.dumps(data, indent=2) + "\n").encode())
    write_atomically(options.out / "speakers.md", text.encode())
    return text


def _sentences(scene: Scene, options: MeasureOptions, index: int) -> tuple[str, str]:
    """Any true sentence, and that of all drawn ones which sets of other sentences agree with best."""
    generator = np.random.default_rng([options.seed, index])
    drawn = [describe(scene.layout, generator, WORLD) for _ in range(options.draws + 1)]
    texts = ptb.tokenize([caption.text for captions in drawn for caption in captions])
    first, rest = texts[0], texts[WORLD.captions :]
    sets = [_most(rest[at : at + WORLD.captions]) for at in range(0, len(rest), WORLD.captions)]
    return first, max(dict.fromkeys(rest), key=lambda text: _agreement(text, sets))


def _word_by_word(scene: Scene, options: MeasureOptions, index: int) -> str:
    """The sentence that always goes on with the word that most sentences with this beginning have next."""
    generator = np.random.default_rng([options.seed, index, 1])
    drawn = (caption.text for _ in range(options.imagined) for caption in describe(scene.layout, generator, WORLD))
    left = [(text.replace(",", " ,").replace(".", " .").split(), count) for text, count in Counter(drawn).items()]
    said: list[str] = []
    while said[-1:] != ["."]:
        following: Counter[str] = Counter()
        for words, count in left:
            following[words[len(said)]] += count
        likeliest = following.most_common(1)[0][0]
        left = [(words, count) for words, count in left if words[len(said)] == likeliest]
        said.append(likeliest)
    return ptb.tokenize([" ".join(said)])[0]


def _grams(text: str) -> Grams:
    words = text.split()
    return [Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1)) for n in ORDERS]


def _most(texts: Sequence[str]) -> Grams:
    """How often each n-gram occurs at most in one of the texts, as BLEU clips counts."""
    most: Grams = [Counter() for _ in ORDERS]
    for text in texts:
        most = [before | grams for before, grams in zip(most, _grams(text), strict=True)]
    return most


def _agreement(text: str, sets: Sequence[Grams]) -> float:
    """Mean logarithm of BLEU's expected precisions of 1- to 4-grams."""
    logs = []
    for n, grams in enumerate(_grams(text)):
        total = max(1, sum(grams.values()))
        hits = fmean(sum(min(count, most[n][gram]) for gram, count in grams.items()) / total for most in sets)
        logs.append(float(np.log(hits + FLOOR)))
    return fmean(logs)


def _markdown(scores: dict[str, dict[str, Any]], options: MeasureOptions) -> str:
    lines = [
        "# What captions of the embedded scenes can score",
        "",
        f"{options.images} validation scenes, five references each. All speakers know the scene and the grammar of its",
        "captions; what is missing to 100 is the choice that the grammar leaves. The second one goes on with the word",
        f"that most of {options.imagined * WORLD.captions:,} true sentences have next, as a perfect",
        f"autoregressive decoder would greedily. The third one takes, of {options.draws * WORLD.captions} true",
        "sentences, the one that BLEU likes best against others: a near bound for every decoder. Metrics × 100.",
        "Written by `python -m bench measure caption-ceilings`.",
        "",
    ]
    rows = [[who, *(f"{float(values[name]) * 100:.1f}" for name in SHOWN)] for who, values in scores.items()]
    return "\n".join([*lines, pipe_table(["speaker", *SHOWN], rows)]) + "\n"
