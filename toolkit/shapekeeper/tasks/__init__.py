"""Tasks: data with a known answer, and data that is real. Each function returns a `Task`."""

from . import published
from .bands import band_noise, band_tone, power_share
from .digits import banded_brain, digit_images, digits
from .fashion import fashion_mnist
from .few_words import few_words, share_that_obeys
from .filtered import (
    FilteredNetwork,
    augmented,
    prefiltered_model,
    short_model,
    with_sinc,
)
from .genes import (
    ExpressionNetwork,
    PlantedRegulators,
    best_cutoff,
    gene_set_scores,
    genes,
    planted_regulators,
    regulator_scores,
    scaled_by_training,
    share_right,
)
from .interlingua import english, german, interlingua, meaning_rules, meanings
from .noisy_digits import noisy_digits
from .pencil import PencilAnswer, pencil, pencil_answer
from .ranges import ranges
from .regulators import RegulatoryNetwork, read_regulators, regulator_penalty
from .rules import Circles, OrthogonalLayers, Rule
from .senses import eye_and_ear, senses, senses_best, senses_trials
from .sequences import sequence_floor, sequence_text, sequences, two_texts
from .shapes import shape_templates, shapes
from .spirals import Spirals, spirals
from .task import Data, Task, TaskError, accuracy, batch_indices
from .text import ALPHABET, symbols_of, text, text_parts
from .tones import both_bands, shortcut, tones, tones_best
from .transformer import CausalTransformer
from .translation import (
    distinct_words,
    short_translator,
    slot_information,
    translate,
    translation,
    translation_meanings,
    true_meaning,
    true_words,
)
from .translator import ShortTranslator, Translator
from .two_digits import left_accuracy, right_accuracy, two_digits, two_halves

__all__ = [
    "ALPHABET",
    "CausalTransformer",
    "Circles",
    "Data",
    "ExpressionNetwork",
    "FilteredNetwork",
    "OrthogonalLayers",
    "PencilAnswer",
    "PlantedRegulators",
    "RegulatoryNetwork",
    "Rule",
    "ShortTranslator",
    "Spirals",
    "Task",
    "TaskError",
    "Translator",
    "accuracy",
    "augmented",
    "band_noise",
    "band_tone",
    "banded_brain",
    "batch_indices",
    "best_cutoff",
    "both_bands",
    "digit_images",
    "digits",
    "distinct_words",
    "english",
    "eye_and_ear",
    "fashion_mnist",
    "few_words",
    "gene_set_scores",
    "genes",
    "german",
    "interlingua",
    "left_accuracy",
    "meaning_rules",
    "meanings",
    "noisy_digits",
    "pencil",
    "pencil_answer",
    "planted_regulators",
    "power_share",
    "prefiltered_model",
    "published",
    "ranges",
    "read_regulators",
    "regulator_penalty",
    "regulator_scores",
    "right_accuracy",
    "scaled_by_training",
    "senses",
    "senses_best",
    "senses_trials",
    "sequence_floor",
    "sequence_text",
    "sequences",
    "shape_templates",
    "shapes",
    "share_right",
    "share_that_obeys",
    "short_model",
    "short_translator",
    "shortcut",
    "slot_information",
    "spirals",
    "symbols_of",
    "text",
    "text_parts",
    "tones",
    "tones_best",
    "translate",
    "translation",
    "translation_meanings",
    "true_meaning",
    "true_words",
    "two_digits",
    "two_halves",
    "two_texts",
    "with_sinc",
]
