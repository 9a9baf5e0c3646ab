"""Three languages with one set of meanings: English-like, an interlingua, German-like.

A meaning is a word of the interlingua: agent, its number, verb, its number again (agreement),
patient, its number, manner. "the dog -s are quickly chase -ed by the kid -s" means
`child pl chase pl dog pl fast`, and is said "die kinder die hunde schnell jagen".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from shapekeeper.constraints import Grammar

__all__ = [
    "SLOTS",
    "SYMBOLS",
    "Meaning",
    "english",
    "german",
    "interlingua",
    "meaning_rules",
    "meanings",
]

Meaning = tuple[str, ...]

PERSONS, ANIMALS, FOODS = ("child", "woman"), ("dog", "cat"), ("apple", "bread")
NOUNS = (*PERSONS, *ANIMALS, *FOODS)
VERBS = ("see", "chase", "eat", "carry", "sleep")
NUMBERS = ("sg", "pl")
MANNERS = ("0", "fast", "calm")
SLOTS = ("agent", "number", "verb", "agreement", "patient", "number", "manner")
SYMBOLS = (*NOUNS, *VERBS, *NUMBERS, "fast", "calm", "0")

CLASSES = {
    "noun": ["animate", "food"],
    "animate": ["person", "animal"],
    "person": list(PERSONS),
    "animal": list(ANIMALS),
    "food": list(FOODS),
    "light": ["cat", "food"],
    "number": list(NUMBERS),
    "manner": list(MANNERS),
}

ENGLISH_NOUNS = {
    "child": ("child", "kid"),
    "woman": ("woman", "lady"),
    "dog": ("dog", "hound"),
    "cat": ("cat", "kitty"),
    "apple": ("apple",),
    "bread": ("bread", "loaf"),
}
ENGLISH_VERBS = {
    "see": ("see", "notice"),
    "chase": ("chase", "hunt"),
    "eat": ("eat", "devour"),
    "carry": ("carry", "lug"),
    "sleep": ("sleep", "doze"),
}
ENGLISH_MANNERS = {"fast": ("quickly", "fast"), "calm": ("calmly", "quietly"), "0": ()}

# Gender, singular, plural; verbs with two stems say who eats.
GERMAN_NOUNS = {
    "child": ("n", "kind", "kinder"),
    "woman": ("f", "frau", "frauen"),
    "dog": ("m", "hund", "hunde"),
    "cat": ("f", "katze", "katzen"),
    "apple": ("m", "apfel", "äpfel"),
    "bread": ("n", "brot", "brote"),
}
GERMAN_VERBS = {
    "see": ("sieht", "sehen"),
    "chase": ("jagt", "jagen"),
    "eat": ("isst", "essen"),
    "eat, of an animal": ("frisst", "fressen"),
    "carry": ("trägt", "tragen"),
    "sleep": ("schläft", "schlafen"),
}
GERMAN_MANNERS = {"fast": ("schnell",), "calm": ("ruhig",), "0": ()}
SUBJECT = {"m": "der", "f": "die", "n": "das"}
OBJECT = {"m": "den", "f": "die", "n": "das"}


def meaning_rules(kind: str) -> dict[str, list[str]]:
    """The rules of an interlingua, as `Grammar.from_rules` reads them.

    Args:
        kind: `"tight"`, whose words are the meanings and no others: who does what to whom fits;
            `"medium"`, where only the number of the verb and whether it has a patient are right;
            `"loose"`, where each slot holds a symbol of its kind.

    Returns:
        Name -> alternatives.

    Raises:
        KeyError: If there is no such kind.

    Example:
        >>> meaning_rules("loose")["word"]
        ['noun number? verb number? noun? number? manner']
    """
    tight = [
        "animate {n} see {n} noun number 0",
        "animate {n} chase {n} animate number manner",
        "animate {n} eat {n} food number manner",
        "person {n} carry {n} light number manner",
        "animate {n} sleep {n} 0 0 0",
    ]
    medium = [
        "noun {n} transitive {n} noun number manner",
        "noun {n} sleep {n} 0 0 manner",
    ]
    loose = ["noun number? verb number? noun? number? manner"]
    frames = {"tight": tight, "medium": medium, "loose": loose}[kind]
    words = [frame.format(n=n) for frame in frames for n in NUMBERS] if kind != "loose" else loose
    further = {
        "verb": list(VERBS),
        "transitive": list(VERBS[:4]),
        "noun?": ["noun", "0"],
        "number?": ["number", "0"],
    }
    return {"word": words, **CLASSES, **further}


def interlingua(kind: str = "medium") -> Grammar:
    """A language for the layer between the two others: 7 slots, 16 symbols.

    Args:
        kind: `"tight"` (464 words, one for each meaning), `"medium"` (1764), `"loose"` (17 010) or
            `"all"` (16⁷, every string).

    Returns:
        The grammar.

    Raises:
        ValueError: If there is no such kind.

    Example:
        >>> [interlingua(kind).count for kind in ("tight", "medium", "loose", "all")]
        [464, 1764, 17010, 268435456]
    """
    if kind == "all":
        steps = {("any", symbol): "any" for symbol in SYMBOLS}
        return Grammar.from_table(steps, start="any", ends="any", length=7, alphabet=SYMBOLS)
    if kind not in ("tight", "medium", "loose"):
        raise ValueError(f"Wanted 'tight', 'medium', 'loose' or 'all', got {kind!r}.")
    return Grammar.from_rules(meaning_rules(kind), length=7, alphabet=SYMBOLS)


def meanings() -> list[Meaning]:
    """All meanings, in the order of the alphabet.

    Example:
        >>> len(meanings()), meanings()[0]
        (464, ('child', 'sg', 'see', 'sg', 'child', 'sg', '0'))
    """
    return list(interlingua("tight").lattice.words())


@dataclass(frozen=True)
class Clause:
    """A meaning by the names of its parts.

    Attributes:
        agent: Who does it.
        number: "sg" or "pl".
        verb: What is done.
        patient: To whom, or "0".
        patients: Their number, or "0".
        manner: How, or "0".
    """

    agent: str
    number: str
    verb: str
    patient: str
    patients: str
    manner: str

    @classmethod
    def of(cls, meaning: Meaning) -> Clause:
        """The parts of a word of the tight interlingua."""
        agent, number, verb, _, patient, patients, manner = meaning
        return cls(agent, number, verb, patient, patients, manner)


def english(meaning: Meaning) -> list[str]:
    """All sentences with a meaning: synonyms, active and passive, the adverb first or last.

    Args:
        meaning: A word of the tight interlingua.

    Returns:
        Texts; endings are words of their own.

    Example:
        >>> english(("child", "pl", "sleep", "pl", "0", "0", "0"))[:2]
        ['the child -s sleep', 'the child -s doze']
        >>> english(("child", "sg", "chase", "sg", "dog", "pl", "fast"))[-1]
        'the hound -s are hunt -ed by the kid fast'
    """
    c = Clause.of(meaning)
    agents, verbs = ENGLISH_NOUNS[c.agent], ENGLISH_VERBS[c.verb]
    ending = " -s" if c.number == "sg" else ""
    clauses: list[str] = []
    for agent, verb in product(agents, verbs):
        subject = _noun_phrase(agent, c.number)
        if c.patient == "0":
            clauses.append(f"{subject} {verb}{ending}")
            continue
        for patient in ENGLISH_NOUNS[c.patient]:
            thing = _noun_phrase(patient, c.patients)
            clauses.append(f"{subject} {verb}{ending} {thing}")
            is_are = "is" if c.patients == "sg" else "are"
            clauses.append(f"{thing} {is_are} {verb} -ed by {subject}")
    adverbs = ENGLISH_MANNERS[c.manner]
    if not adverbs:
        return clauses
    return [
        text
        for clause, adverb in product(clauses, adverbs)
        for text in (f"{adverb} {clause}", f"{clause} {adverb}")
    ]


def german(meaning: Meaning) -> str:
    """The sentence that a meaning has: subject, object, adverb, verb.

    Args:
        meaning: A word of the tight interlingua.

    Returns:
        A text; articles tell gender and case, the verb fits the number and class of its subject.

    Example:
        >>> german(("dog", "sg", "eat", "sg", "apple", "sg", "fast"))
        'der hund den apfel schnell frisst'
    """
    c = Clause.of(meaning)
    said = _with_article(c.agent, c.number, SUBJECT)
    if c.patient != "0":
        said += _with_article(c.patient, c.patients, OBJECT)
    verb = "eat, of an animal" if c.verb == "eat" and c.agent in ANIMALS else c.verb
    return " ".join([*said, *GERMAN_MANNERS[c.manner], GERMAN_VERBS[verb][c.number == "pl"]])


def _noun_phrase(noun: str, number: str) -> str:
    return f"the {noun} -s" if number == "pl" else f"the {noun}"


def _with_article(noun: str, number: str, articles: dict[str, str]) -> list[str]:
    gender, one, many = GERMAN_NOUNS[noun]
    return ["die", many] if number == "pl" else [articles[gender], one]


def _listed(*tables: dict) -> list[str]:
    """All words that occur in the values of tables, each once."""
    found = [word for table in tables for forms in table.values() for word in forms]
    return list(dict.fromkeys(found))


_ENDINGS, _ARTICLES = ("-s", "-ed", "is", "are", "by"), ("der", "die", "das", "den")
_GERMAN_FORMS = {noun: forms[1:] for noun, forms in GERMAN_NOUNS.items()}
ENGLISH = ("", "the", *_ENDINGS, *_listed(ENGLISH_NOUNS, ENGLISH_VERBS, ENGLISH_MANNERS))
GERMAN = ("", *_ARTICLES, *_listed(_GERMAN_FORMS, GERMAN_VERBS, GERMAN_MANNERS))
LONGEST_ENGLISH, LONGEST_GERMAN = 11, 6


def tokens(text: str, words: tuple[str, ...], length: int) -> list[int]:
    """The numbers of the words of a text, filled up with 0.

    Args:
        text: Words between blanks.
        words: The lexicon.
        length: How many numbers.

    Returns:
        That many.

    Raises:
        ValueError: If words are not in the lexicon, or there are none or too many; all problems at
            once.

    Example:
        >>> tokens("the dog", ENGLISH, 4)
        [1, 11, 0, 0]
    """
    said = text.split()
    problems = []
    if not 1 <= len(said) <= length:
        problems.append(f"Wanted 1 to {length} words, got {len(said)}.")
    if foreign := list(dict.fromkeys(word for word in said if word not in words)):
        known = ", ".join(sorted(word for word in words if word))
        verb = "is" if len(foreign) == 1 else "are"
        told = ", ".join(map(repr, foreign))
        problems.append(f"{told} {verb} not in the lexicon. Words are {known}.")
    if problems:
        raise ValueError(" ".join(problems))
    return [words.index(word) for word in said] + [0] * (length - len(said))


def text_of(numbers: Iterable[int], words: tuple[str, ...]) -> str:
    """The text whose words have these numbers; the way back from `tokens`.

    Args:
        numbers: Word numbers; 0 says nothing.
        words: The lexicon.

    Returns:
        Words between blanks.

    Example:
        >>> text_of([1, 11, 0, 0], ENGLISH)
        'the dog'
    """
    return " ".join(words[i] for i in numbers if i)
