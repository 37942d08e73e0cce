"""What a prediction consists of: written beside its parts, for whoever merges them."""

import dataclasses
import json
from pathlib import Path

from gzjax.errors import READ_ERRORS, UserError, reason
from gzjax.files import MAX_TABLE_BYTES, read_text, write_json
from gzjax.prediction.parts import Parts
from gzjax.trees import Tree

_NAME = "plan.json"
KINDS = ("submission", "table", "embeddings")


@dataclasses.dataclass(frozen=True)
class Plan:
    """A prediction of n images by m runs.

    Attributes:
        images: the path of the folder, zip or CSV.
        names: n, for the rows.
        workdirs: m, of the runs.
        identities: m, JSON-ready: what each run's numbers depend on.
        weights: of the runs in the mean: [m], or [m][a].
        averaging: the averaging set of the first run.
        tree: as from :meth:`gzjax.trees.Tree.to_dict`.
        train_mean: a numbers, the first run's: they stand for bad images in a
            submission.
        kind: one of ``KINDS``.
        where: a cut of :mod:`gzjax.prediction.tables.where` on a table's rows; "":
            none.
        num_features: f, of embeddings; else 0.
    """

    images: str
    names: tuple[str, ...]
    workdirs: tuple[str, ...]
    identities: tuple[dict, ...]
    weights: list
    averaging: str
    tree: dict
    train_mean: list[float]
    kind: str
    where: str
    num_features: int = 0

    def parts(self, output: Path) -> list[Parts]:
        """The parts of each run's predictions, which ``output`` is merged from."""
        folder = parts_folder(output)
        return [
            Parts(folder / f"run{i}", len(self.names), identity)
            for i, identity in enumerate(self.identities)
        ]

    def decision_tree(self) -> Tree:
        """The tree of the runs."""
        return Tree.from_dict(self.tree)

    def replace_another(self, output: Path, is_shard: bool) -> None:
        """Removes the plan of another prediction: nobody must merge by it any more.

        What identities differ in, the parts themselves say.

        Raises:
            UserError: of a shard: another one may have been given other arguments.
        """
        try:
            there = read_plan(output)
        except UserError:
            return
        differing = [
            f"  {field.name}: {getattr(there, field.name)!r:.80} there, "
            f"{getattr(self, field.name)!r:.80} here"
            for field in dataclasses.fields(self)
            if field.name != "identities"
            and getattr(there, field.name) != getattr(self, field.name)
        ]
        path = parts_folder(output) / _NAME
        if differing and is_shard:
            raise UserError(
                f"{path} is of another command:\n" + "\n".join(differing) + "\n"
                "Give all shards the same arguments; or remove that file if it is old"
            )
        if differing:
            path.unlink(missing_ok=True)

    def write(self, output: Path) -> None:
        """Writes the plan into the folder of the parts."""
        folder = parts_folder(output)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / _NAME, dataclasses.asdict(self))


def parts_folder(output: Path) -> Path:
    """``OUTPUT.parts``, beside the output."""
    return output.with_name(output.name + ".parts")


def read_plan(output: Path) -> Plan:
    """Reads the plan of an output that is to be merged.

    Raises:
        UserError: there is none.
    """
    path = parts_folder(output) / _NAME
    try:
        fields = json.loads(read_text(path, MAX_TABLE_BYTES))
        lists = ("names", "workdirs", "identities")
        return Plan(**fields | {name: tuple(fields[name]) for name in lists})
    except (TypeError, *READ_ERRORS) as error:
        raise UserError(
            f"{path} cannot be read: {reason(error)}; give the --output of predict, "
            "and if it was interrupted the command of predict again"
        ) from error
