"""The Galaxy Zoo 2 tree as the Kaggle challenge publishes it (Willett et al. 2013)."""

from gzjax.trees.base import Question, Tree

_SMOOTH = "smooth_or_featured.smooth"
_FEATURED = "smooth_or_featured.featured_or_disk"
_FACE_ON = "edge_on.no"
_SPIRAL = "spiral_arms.yes"
_ODD = ("ring", "lens_or_arc", "disturbed", "irregular", "other", "merger", "dust_lane")

_QUESTIONS = (
    Question("smooth_or_featured", ("smooth", "featured_or_disk", "star_or_artifact")),
    Question("edge_on", ("yes", "no"), (_FEATURED,)),
    Question("bar", ("yes", "no"), (_FACE_ON,)),
    Question("spiral_arms", ("yes", "no"), (_FACE_ON,)),
    Question("bulge", ("none", "just_noticeable", "obvious", "dominant"), (_FACE_ON,)),
    # The workflow asks it after questions 5, 7 and 9 only, but in the published data
    # its two answers sum to 1 for every galaxy: everybody is asked.
    Question("odd", ("yes", "no")),
    Question("roundness", ("completely", "in_between", "cigar"), (_SMOOTH,)),
    Question("odd_feature", _ODD, ("odd.yes",)),
    Question("edge_on_bulge", ("rounded", "boxy", "none"), ("edge_on.yes",)),
    Question("winding", ("tight", "medium", "loose"), (_SPIRAL,)),
    Question(
        "arm_count", ("1", "2", "3", "4", "more_than_4", "cannot_tell"), (_SPIRAL,)
    ),
)

GZ2 = Tree(
    name="gz2",
    questions=_QUESTIONS,
    columns=tuple(
        f"Class{i}.{j}"
        for i, question in enumerate(_QUESTIONS, 1)
        for j in range(1, len(question.answers) + 1)
    ),
)

# The answers as one would say them of a galaxy, in the order of reading: "face-on,
# barred, two arms, loose". One that is nothing special has no words.
WORDS = {
    "smooth_or_featured": {
        "smooth": "smooth",
        "featured_or_disk": "featured",
        "star_or_artifact": "star or artifact",
    },
    "roundness": {
        "completely": "round",
        "in_between": "in-between",
        "cigar": "cigar-shaped",
    },
    "edge_on": {"yes": "edge-on", "no": "face-on"},
    "edge_on_bulge": {
        "rounded": "rounded bulge",
        "boxy": "boxy bulge",
        "none": "no bulge",
    },
    "bar": {"yes": "barred", "no": ""},
    "spiral_arms": {"yes": "spiral arms", "no": "no spiral arms"},
    "arm_count": {
        "1": "one arm",
        "2": "two arms",
        "3": "three arms",
        "4": "four arms",
        "more_than_4": "more than four arms",
        "cannot_tell": "spiral arms",
    },
    "winding": {"tight": "tight", "medium": "medium", "loose": "loose"},
    "bulge": {
        "none": "no bulge",
        "just_noticeable": "",
        "obvious": "obvious bulge",
        "dominant": "dominant bulge",
    },
    "odd": {"yes": "odd", "no": ""},
    "odd_feature": {
        "ring": "odd: ring",
        "lens_or_arc": "odd: lens or arc",
        "disturbed": "odd: disturbed",
        "irregular": "odd: irregular",
        "other": "odd: other",
        "merger": "odd: merger",
        "dust_lane": "odd: dust lane",
    },
}

# Left unsaid where the question beside it counts: its words say as much, and more.
SAID_BY = {
    "smooth_or_featured.featured_or_disk": "edge_on",
    "spiral_arms.yes": "arm_count",
    "odd.yes": "odd_feature",
}
