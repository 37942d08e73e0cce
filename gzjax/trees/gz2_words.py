"""The answers of the Galaxy Zoo 2 tree as one would say them of a galaxy.

The questions stand in the order in which they are read out: ``face-on, barred, two
arms, loose``. An answer that is nothing special has no words.
"""

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
