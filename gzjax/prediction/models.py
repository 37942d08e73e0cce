"""Lists the trained networks that come with the package."""

from gzjax.files import read_json
from gzjax.training import run_files as layout


def models() -> None:
    """Prints a paragraph about each network, from the numbers of its card."""
    for name, folder in layout.shipped().items():
        card = read_json(folder / layout.CARD_NUMBERS, "install gzjax again")
        scores, megabytes = card["scores"], _size(folder) / 1e6
        mean = scores["training_mean"]["rmse"]
        print(
            f"{name}: {len(card['answers'])} vote fractions of {card['about']}\n"
            f"  RMSE {scores['rmse']:.4f} on {scores['galaxies']} held-out galaxies "
            f"(training mean {mean:.4f}); R15 "
            f"{card['turned']['none']['any_angle']['mean']:.4f}\n"
            f"  {card['parameters']:,} parameters, {megabytes:.1f} MB; "
            f"{card['images_seen']:,} images seen in training\n"
            f"  {folder / layout.CARD}\n"
            f"  gzjax predict --workdir={name} --images=FOLDER --output=table.csv"
        )


def _size(folder) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
