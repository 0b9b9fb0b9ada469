"""Causal models that two cores can train, with a tokenizer fitted to an environment's own text.

What an environment says over and over becomes one token each: a tool call's frame, a catalogue query's skeleton.
What differs from task to task, names above all, falls into short pieces, cut within a word and never across its
edge: a name that nobody has seen before reads the same wherever it stands, so that it can be copied.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

from fogline.agents.chat import rendered
from fogline.agents.policies.induction_heads import plant_induction_heads
from fogline.agents.policies.pictures import words_of
from fogline.core.episode import Episode
from fogline.core.errors import ConfigurationError

PAD, END, UNKNOWN = "<|pad|>", "<|end|>", "<|unknown|>"
SYSTEM, OBSERVATION, ACTION = "<|system|>", "<|observation|>", "<|action|>"
_SPECIAL = (PAD, END, UNKNOWN, SYSTEM, OBSERVATION, ACTION)

TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ '" + SYSTEM + "' + message['content'] }}"
    "{% elif message['role'] == 'assistant' %}{{ '" + ACTION + "' + message['content'] + '" + END + "' }}"
    "{% else %}{{ '" + OBSERVATION + "' + message['content'] }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '" + ACTION + "' }}{% endif %}"
)
"""Chat template of fitted tokenizers: one special token opens each message, ``<|end|>`` closes an action."""

_PRINTABLE = [*map(chr, range(32, 127)), "\n", "\t"]
_ATOM = re.compile(r"\w+|\W")
_WORD = r"\p{Lu}?\p{Ll}+|\p{Lu}+(?!\p{Ll})|[\s\S]"
_PYTHON_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_RARE = 0.05
"""A phrase or a whole word must occur in this share of the documents."""

Document = Sequence[str]


def episode_texts(episodes: Iterable[Episode], rules: Iterable[str] = ()) -> list[list[str]]:
    """Observations, the question alone of those with a picture, and actions: what :func:`fit_tokenizer` takes.

    Args:
        episodes: Text episodes, such as an oracle's.
        rules: System prompts; they become documents of their own, counted as often as the episodes.
    """
    documents = []
    opening = list(rules)
    for episode in episodes:
        said = [rendered(text) for turn in episode.turns for text in (words_of(turn.observation), turn.action)]
        documents.append([*opening, *said])
    return documents


def fit_tokenizer(
    texts: Sequence[str | Document],
    *,
    vocabulary_size: int = 768,
    phrase_share: float | None = 0.5,
    piece_length: int = 3,
    alphabet: str = "",
    phrases: Sequence[str] = (),
) -> Any:
    """Fit a tokenizer to what an environment says and hears.

    Args:
        texts: One document per episode: its observations and actions, or one string. Take documents from many
            different tasks and databases, since what most of them share is taken for boilerplate.
        vocabulary_size: Most tokens, special ones and all single characters included.
        phrase_share: A word in at least this share of the documents is boilerplate. Runs of such words and of
            punctuation become one token each. None looks for none.
        piece_length: Longest piece of other words, in characters.
        alphabet: Characters to know besides printable ASCII and those of the texts.
        phrases: Strings that are one token each in any case, such as the places of a grid.

    Returns:
        A ``PreTrainedTokenizerFast`` that decodes exactly what it encoded, and has a prefix-preserving chat template.
        Characters that it does not know become the unknown token, which policies refuse to read.

    Raises:
        ConfigurationError: If there are no texts, or ``vocabulary_size`` does not hold their single characters.
    """
    documents = [[text] if isinstance(text, str) else list(text) for text in texts]
    if not any(map(len, documents)):
        raise ConfigurationError("no texts to fit a tokenizer to: expected at least one document; see episode_texts.")
    letters = sorted({*_PRINTABLE, *alphabet, *(letter for text in _segments(documents) for letter in text)})
    base = [*_SPECIAL, *letters]
    room = vocabulary_size - len(base) - len(phrases)
    if room < 0:
        raise ConfigurationError(
            f"vocabulary_size={vocabulary_size} is too small: the texts and printable ASCII have {len(letters)} "
            f"characters, and there are {len(_SPECIAL)} special tokens and {len(phrases)} phrases."
        )
    found = [] if phrase_share is None else _phrases(documents, phrase_share, room // 2)
    whole = list(dict.fromkeys([*phrases, *found]))
    words = _words(documents, whole, piece_length, (room - len(found)) // 2)
    return _build(base, whole, words, _rest(documents, whole), vocabulary_size - len(whole), piece_length)


def tiny_causal_lm(
    tokenizer: Any,
    *,
    layers: int = 3,
    width: int = 96,
    heads: int = 2,
    context: int = 1024,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    induction: bool = True,
) -> Any:
    """Build an untrained model for a tokenizer.

    Args:
        tokenizer: Whose ids it reads and writes.
        layers: Decoder blocks.
        width: Size of the hidden state.
        heads: Attention heads; must divide ``width`` into even parts.
        context: Most tokens of a conversation.
        seed: Of the weights; the global generator is left alone.
        dtype: Of the weights.
        induction: Begin with induction heads, so that the model can copy names that it read before it has learned
            anything (see :mod:`~fogline.agents.policies.induction_heads`). Needs two layers or more, and 2 to 4 heads.

    Returns:
        A ``StableLmForCausalLM`` with tied embeddings: a quarter of each head turns with the position, the rest
        compares content wherever it stands.

    Raises:
        ConfigurationError: If the heads do not fit the width, or induction heads do not fit the model.
    """
    if width % heads or (width // heads) % 8:
        raise ConfigurationError(
            f"width={width} with heads={heads}: expected a multiple of 8 dimensions for each head."
        )
    if induction and (layers < 2 or not 2 <= heads <= 4):
        raise ConfigurationError(
            f"induction heads need two layers and 2 to 4 heads, not layers={layers} and heads={heads}: choose others, "
            "or induction=False."
        )
    from transformers import StableLmConfig, StableLmForCausalLM

    config = StableLmConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        use_qkv_bias=True,
        initializer_range=0.3 * width**-0.5,
        rope_parameters={"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.25},
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = StableLmForCausalLM(config)
    if induction:
        plant_induction_heads(model, torch.Generator().manual_seed(seed))
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return model


def _segments(documents: Iterable[Document]) -> Iterator[str]:
    for document in documents:
        yield from document


def _phrases(documents: Sequence[Document], share: float, limit: int) -> list[str]:
    """Runs of boilerplate between two words that differ from task to task, most useful first."""
    spread = Counter(word for document in documents for word in {w for text in document for w in _ATOM.findall(text)})
    common = {atom for atom, count in spread.items() if count >= share * len(documents) or not _is_word(atom)}
    uses: Counter[str] = Counter()
    seen_in: Counter[str] = Counter()
    for document in documents:
        runs = [run for text in document for run in _runs(text, common) if len(_ATOM.findall(run)) > 1]
        uses.update(runs)
        seen_in.update(set(runs))
    often = [run for run in uses if seen_in[run] >= max(2.0, _RARE * len(documents))]
    return sorted(often, key=lambda run: (-uses[run] * (len(run) - 1), run))[:limit]


def _runs(text: str, common: set[str]) -> Iterator[str]:
    run = ""
    for atom in _ATOM.findall(text):
        if atom in common:
            run += atom
        elif run:
            yield run
            run = ""
    if run:
        yield run


def _is_word(atom: str) -> bool:
    return atom[0].isalnum() or atom[0] == "_"


def _rest(documents: Sequence[Document], phrases: Sequence[str]) -> list[list[str]]:
    """The texts between phrases, as the tokenizer will see them, document by document."""
    if not phrases:
        return [list(document) for document in documents]
    known = re.compile("|".join(re.escape(phrase) for phrase in sorted(phrases, key=len, reverse=True)))
    return [[part for text in document for part in known.split(text) if part] for document in documents]


def _words(documents: Sequence[Document], phrases: Sequence[str], piece_length: int, limit: int) -> list[str]:
    """Whole words that many documents use outside phrases, most useful first."""
    uses: Counter[str] = Counter()
    seen_in: Counter[str] = Counter()
    for parts in _rest(documents, phrases):
        words = [word for part in parts for word in _PYTHON_WORD.findall(part) if len(word) > piece_length]
        uses.update(words)
        seen_in.update(set(words))
    often = [word for word in uses if seen_in[word] >= max(2.0, _RARE * len(documents))]
    return sorted(often, key=lambda word: (-uses[word] * (len(word) - 1), word))[:limit]


def _build(
    base: Sequence[str],
    phrases: Sequence[str],
    words: Sequence[str],
    rest: Sequence[Document],
    model_size: int,
    piece_length: int,
) -> Any:
    import json

    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    split = pre_tokenizers.Split(Regex(_WORD), "isolated")
    pieces = Tokenizer(models.BPE(unk_token=UNKNOWN))
    pieces.pre_tokenizer = split
    trainer = trainers.BpeTrainer(
        vocab_size=max(model_size - len(words), len(base)),
        special_tokens=list(_SPECIAL),
        initial_alphabet=[letter for letter in base if len(letter) == 1],
        max_token_length=piece_length,
        show_progress=False,
    )
    pieces.train_from_iterator(_segments(rest), trainer)
    fitted = json.loads(pieces.to_str())["model"]
    vocabulary: dict[str, int] = {token: index for index, token in enumerate(base)}
    for token in [*sorted(fitted["vocab"], key=fitted["vocab"].__getitem__), *words]:
        vocabulary.setdefault(token, len(vocabulary))
    merges = [tuple(merge) for merge in fitted["merges"]]
    # A word that is in the vocabulary is one token, whatever the merges would make of it.
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token=UNKNOWN, ignore_merges=True))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in _SPECIAL])
    tokenizer.add_tokens([AddedToken(phrase, special=False, normalized=False) for phrase in phrases])
    wrap: Any = PreTrainedTokenizerFast
    return wrap(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        additional_special_tokens=[SYSTEM, OBSERVATION, ACTION],
        chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
    )
