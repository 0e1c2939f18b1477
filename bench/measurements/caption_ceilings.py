"""How well captions of the embedded scenes can be told: what a speaker who sees everything scores.

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

from bench.config.studies import SpeakersOptions
from bench.console import progress
from bench.data.scenes.captions import CAPTIONS_PER_IMAGE, describe
from bench.data.scenes.scene import SEED, Scene, render
from bench.errors import UserError
from results.store import write_atomically
from tasks.metrics import ptb
from tasks.metrics.captions import score

ANY = "any true sentence"
GREEDY = "the likeliest word, one after another"
CHOSEN = "the sentence most like the others"
ORDERS = range(1, 5)
SHOWN = ("BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr")
FLOOR = 1e-3  # of a precision, so that its logarithm exists

Grams = list[Counter[tuple[str, ...]]]


def measure_speakers(options: SpeakersOptions) -> str:
    """Let the speakers describe the validation scenes and write ``speakers.md`` and ``.json`` into ``options.out``.

    Returns:
        The Markdown table.
    """
    references: dict[int, list[str]] = {}
    for name, value in {"images": options.images, "draws": options.draws, "imagined": options.imagined}.items():
        if value < 1:
            raise UserError(f"--{name} {value}: give 1 or more")
    told: dict[str, dict[int, str]] = {ANY: {}, GREEDY: {}, CHOSEN: {}}
    with progress("describing scenes") as report:
        for index in range(options.images):
            scene = render("val2017", index)
            references[index] = ptb.tokenize([caption.text for caption in scene.captions])
            told[ANY][index], told[CHOSEN][index] = _sentences(scene, options, index)
            told[GREEDY][index] = _word_by_word(scene, options, index)
            report(index + 1, options.images)
    found = {who: score(references, hypotheses).values for who, hypotheses in told.items()}
    own = {"images": options.images, "draws": options.draws, "imagined": options.imagined, "seed": options.seed}
    data = {**own, "scenes": SEED, "speakers": found}
    text = _markdown(found, options)
    write_atomically(options.out / "speakers.json", (json.dumps(data, indent=2) + "\n").encode())
    write_atomically(options.out / "speakers.md", text.encode())
    return text


def _sentences(scene: Scene, options: SpeakersOptions, index: int) -> tuple[str, str]:
    """Any true sentence, and that of all drawn ones which sets of other sentences agree with best."""
    generator = np.random.default_rng([options.seed, index])
    drawn = [describe(scene.layout, generator) for _ in range(options.draws + 1)]
    texts = ptb.tokenize([caption.text for captions in drawn for caption in captions])
    first, rest = texts[0], texts[CAPTIONS_PER_IMAGE:]
    sets = [_most(rest[at : at + CAPTIONS_PER_IMAGE]) for at in range(0, len(rest), CAPTIONS_PER_IMAGE)]
    return first, max(dict.fromkeys(rest), key=lambda text: _agreement(text, sets))


def _word_by_word(scene: Scene, options: SpeakersOptions, index: int) -> str:
    """The sentence that always goes on with the word that most sentences with this beginning have next."""
    generator = np.random.default_rng([options.seed, index, 1])
    drawn = (caption.text for _ in range(options.imagined) for caption in describe(scene.layout, generator))
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
        most = [kept | own for kept, own in zip(most, _grams(text), strict=True)]
    return most


def _agreement(text: str, sets: Sequence[Grams]) -> float:
    """Mean logarithm of BLEU's expected precisions of 1- to 4-grams."""
    logs = []
    for n, own in enumerate(_grams(text)):
        total = max(1, sum(own.values()))
        hits = fmean(sum(min(count, most[n][gram]) for gram, count in own.items()) / total for most in sets)
        logs.append(float(np.log(hits + FLOOR)))
    return fmean(logs)


def _markdown(found: dict[str, dict[str, Any]], options: SpeakersOptions) -> str:
    lines = [
        "# What captions of the embedded scenes can score",
        "",
        f"{options.images} validation scenes, five references each. All speakers know the scene and the grammar of its",
        "captions; what is missing to 100 is the choice that the grammar leaves. The second one goes on with the word",
        f"that most of {options.imagined * CAPTIONS_PER_IMAGE:,} true sentences have next, as a perfect",
        f"autoregressive decoder would greedily. The third one takes, of {options.draws * CAPTIONS_PER_IMAGE} true",
        "sentences, the one that BLEU likes best against others: a near bound for every decoder. Metrics × 100.",
        "Written by `python -m bench speakers`.",
        "",
        "| speaker | " + " | ".join(SHOWN) + " |",
        "| --- |" + " ---: |" * len(SHOWN),
    ]
    for who, values in found.items():
        lines.append(f"| {who} | " + " | ".join(f"{float(values[name]) * 100:.1f}" for name in SHOWN) + " |")
    return "\n".join(lines) + "\n"
