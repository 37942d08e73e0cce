"""A galaxy in plain words."""

import numpy as np
import pytest

from gzjax.trees import GZ2, Question, Tree
from gzjax.trees.gz2 import SAID_BY, WORDS
from gzjax.trees.morphology import MIN_ASKED, RULE, morphology

# P(answer | asked), up to a factor per question; what is not given is 0.
DISK = {
    "smooth_or_featured.featured_or_disk": 0.9,
    "smooth_or_featured.smooth": 0.1,
    "roundness.cigar": 1.0,
    "edge_on.yes": 0.1,
    "edge_on.no": 0.9,
    "edge_on_bulge.boxy": 1.0,
    "bar.yes": 0.6,
    "bar.no": 0.4,
    "spiral_arms.yes": 0.8,
    "spiral_arms.no": 0.2,
    "bulge.just_noticeable": 0.6,
    "bulge.obvious": 0.4,
    "odd.yes": 0.2,
    "odd.no": 0.8,
    "odd_feature.merger": 0.6,
    "odd_feature.ring": 0.4,
    "arm_count.2": 0.7,
    "arm_count.cannot_tell": 0.3,
    "winding.loose": 0.5,
    "winding.medium": 0.3,
    "winding.tight": 0.2,
}
SMOOTH = DISK | {
    "smooth_or_featured.featured_or_disk": 0.3,
    "smooth_or_featured.smooth": 0.7,
    "roundness.cigar": 0.4,
    "roundness.completely": 0.6,
}


def votes_of(shares, tree=GZ2):
    assert shares.keys() <= set(tree.answer_names)
    votes = np.array([shares.get(name, 0.0) for name in tree.answer_names])
    for here, parents in zip(tree.slices, tree.parents, strict=True):
        asked = votes[list(parents)].sum() if parents else 1
        votes[here] *= asked / votes[here].sum()
    return votes


def say(shares, tree=GZ2):
    return str(morphology(votes_of(shares, tree)[None], tree)[0])


@pytest.mark.parametrize(
    ("galaxy", "words"),
    [
        (DISK, "face-on, barred, two arms, loose"),
        (DISK | {"bulge.none": 0.7}, "face-on, barred, two arms, loose, no bulge"),
        (DISK | {"bar.no": 0.7, "winding.tight": 0.9}, "face-on, two arms, tight"),
        (DISK | {"edge_on.yes": 0.9, "edge_on.no": 0.1}, "edge-on, boxy bulge"),
        (SMOOTH, "smooth, round"),
        (SMOOTH | {"roundness.cigar": 0.7}, "smooth, cigar-shaped"),
        (SMOOTH | {"odd.no": 0.3, "odd.yes": 0.7}, "smooth, round, odd: merger"),
        (SMOOTH | {"smooth_or_featured.star_or_artifact": 0.9}, "star or artifact"),
    ],
)
def test_reads_like_a_description(galaxy, words):
    assert say(galaxy) == words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {
                "smooth_or_featured.featured_or_disk": 0.4,
                "smooth_or_featured.smooth": 0.3,
                "smooth_or_featured.star_or_artifact": 0.3,
            },
            "featured",
        ),
        (
            {"spiral_arms.yes": 0.6, "spiral_arms.no": 0.4},
            "face-on, barred, spiral arms",
        ),
        (
            {"spiral_arms.yes": 0.4, "spiral_arms.no": 0.6},
            "face-on, barred, no spiral arms",
        ),
        ({"arm_count.cannot_tell": 0.8}, "face-on, barred, spiral arms, loose"),
    ],
)
def test_a_general_word_is_said_where_no_other_says_more(change, words):
    assert say(DISK | change) == words


def test_a_question_counts_from_half_of_the_volunteers_on():
    galaxy = DISK | {
        "smooth_or_featured.featured_or_disk": 0.3,
        "smooth_or_featured.star_or_artifact": 0.2,
        "smooth_or_featured.smooth": MIN_ASKED,
        "roundness.completely": 1.0,
        "roundness.cigar": 0.0,
    }
    assert say(galaxy) == "smooth, round"
    galaxy["smooth_or_featured.smooth"] = np.nextafter(MIN_ASKED, 0)
    assert say(galaxy) == "smooth"
    assert str(MIN_ASKED) in RULE


def test_every_answer_of_galaxy_zoo_2_has_its_words():
    questions = {q.name: set(q.answers) for q in GZ2.questions}
    assert {name: set(words) for name, words in WORDS.items()} == questions
    assert SAID_BY.keys() <= set(GZ2.answer_names)
    assert set(SAID_BY.values()) <= questions.keys()


def test_other_trees_say_question_and_answer():
    tree = Tree(
        GZ2.name,  # it is the questions that matter
        (Question("disk", ("yes", "no")), Question("tail", ("a", "b"), ("disk.yes",))),
    )
    assert say({"disk.yes": 0.6, "tail.b": 1.0}, tree) == "disk: yes, tail: b"
    assert say({"disk.no": 0.6, "disk.yes": 0.4, "tail.b": 1.0}, tree) == "disk: no"


def test_a_tree_out_of_a_checkpoint_has_words():
    assert say(DISK, Tree.from_dict(GZ2.to_dict())) == say(DISK)


def test_rows_keep_their_order():
    galaxies = np.stack([votes_of(DISK), votes_of(SMOOTH)])
    which = np.random.default_rng(0).integers(0, 2, 500)
    expected = np.array([say(DISK), say(SMOOTH)])[which]
    np.testing.assert_array_equal(morphology(galaxies[which], GZ2), expected)
    assert morphology(galaxies[:0], GZ2).shape == (0,)


def test_a_question_answered_with_zeros_is_left_out():
    votes = np.zeros((1, 37))
    votes[0, :2] = 0.1, 0.9  # all were asked whether it is edge-on, and said nothing
    assert "edge-on" not in morphology(votes, GZ2)[0]
    votes[0, 3] = 0.9
    assert morphology(votes, GZ2)[0].startswith("edge-on")
