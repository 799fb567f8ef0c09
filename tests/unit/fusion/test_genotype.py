import json

import numpy as np
import pytest

from eagleray.errors import ConfigError, GenotypeError
from eagleray.fusion.genotype import Cell, Cells, Genotype, Node
from eagleray.fusion.space import Space

EARLY = Cell(("color.early.0", "depth.early.1"), (Node("add", (0, 1)), Node("glu", (2, 0))))
MIDDLE = Cell(("depth.middle.1", "color.middle.0"), (Node("concat", (1, 0)), Node("attention", (0, 2))))
LATE = Cell(("cell.middle", "color.late.1"), (Node("glu", (0, 1)), Node("add", (1, 2))))
WHOLE = Genotype(Cells(EARLY, MIDDLE, LATE))


def test_an_architecture_comes_back_from_its_file_equal_and_hashes_equal(tmp_path):
    path = tmp_path / "found.json"
    path.write_text(json.dumps(WHOLE.to_json()))
    again = Genotype.read(path)
    assert again == WHOLE
    assert hash(again) == hash(WHOLE)
    assert Genotype(Cells(EARLY, MIDDLE)) != WHOLE


def test_an_architecture_prints_one_line_a_cell():
    assert str(WHOLE).splitlines() == [
        "early   n1 = add(color.early.0, depth.early.1); n2 = glu(n1, color.early.0)",
        "middle  n1 = concat(color.middle.0, depth.middle.1); n2 = attention(depth.middle.1, n1)",
        "late    n1 = glu(cell.middle, color.late.1); n2 = add(color.late.1, n1)",
    ]


def test_cells_that_do_not_reach_the_head_are_not_used():
    assert list(WHOLE.used()) == ["middle", "late"]
    assert WHOLE.features() == ("color.late.1", "color.middle.0", "depth.middle.1")
    taking_both = Genotype(Cells(EARLY, MIDDLE, Cell(("cell.early", "cell.middle"), LATE.nodes)))
    assert list(taking_both.used()) == ["early", "middle", "late"]
    assert Genotype(Cells(early=EARLY)).last == "early"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda values: values.pop("schema"), "eagleray.genotype/1"),
        (lambda values: values.update(schema="eagleray.genotype/9"), "eagleray.genotype/1"),
        (lambda values: values["cells"].update(last=None), "last"),
        (lambda values: values["cells"]["early"]["nodes"][0].update(op="mul"), "add, concat, glu, attention"),
        (lambda values: values["cells"]["early"].update(features=["color.early.0"]), "features"),
        (lambda values: values.update(cells={"early": None}), "no cell"),
    ],
)
def test_values_that_are_no_architecture_are_refused_by_the_name_of_their_file(tmp_path, change, told):
    values = WHOLE.to_json()
    change(values)
    path = tmp_path / "odd.json"
    path.write_text(json.dumps(values))
    with pytest.raises(GenotypeError, match=told) as caught:
        Genotype.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_or_no_json_is_named(tmp_path):
    with pytest.raises(GenotypeError, match=r"gone\.json: cannot be read"):
        Genotype.read(tmp_path / "gone.json")
    (tmp_path / "half.json").write_text("{")
    with pytest.raises(GenotypeError, match=r"half\.json: is not JSON"):
        Genotype.read(tmp_path / "half.json")


@pytest.mark.parametrize("space", [Space(), Space(stages=("middle",)), Space(modalities=("depth",)), Space(nodes=3)])
def test_what_a_space_draws_and_mutates_is_of_that_space(space):
    random = np.random.default_rng(0)
    for _ in range(50):
        drawn = space.sample(random)
        space.check(drawn, "drawn")
        other = space.mutate(drawn, random)
        space.check(other, "mutated")
        assert other != drawn


def test_every_architecture_of_a_small_space_is_drawn_and_counted():
    space = Space(modalities=("color",), stages=("early",), nodes=1)
    random = np.random.default_rng(0)
    drawn = {space.sample(random) for _ in range(1000)}
    assert len(drawn) == len(space) == 2 * 2 * 4


def test_early_output_feeds_middle_and_late_and_middle_output_feeds_late():
    space = Space()
    assert [name for name in space.pool("early") if name.startswith("cell.")] == []
    assert [name for name in space.pool("middle") if name.startswith("cell.")] == ["cell.early"]
    assert [name for name in space.pool("late") if name.startswith("cell.")] == ["cell.early", "cell.middle"]
    assert "cell.middle" not in Space(stages=("early", "late")).pool("late")


@pytest.mark.parametrize(
    ("genotype", "told"),
    [
        (Genotype(Cells(EARLY, MIDDLE)), "has the cells early, middle"),
        (Genotype(Cells(Cell(("color.late.0", "color.early.0"), EARLY.nodes), MIDDLE, LATE)), "'color.late.0'"),
        (Genotype(Cells(Cell(("color.early.0",) * 2, EARLY.nodes), MIDDLE, LATE)), "twice"),
        (Genotype(Cells(Cell(EARLY.features, EARLY.nodes[:1]), MIDDLE, LATE)), "has 1 nodes"),
        (Genotype(Cells(Cell(EARLY.features, (Node("add", (0, 2)), EARLY.nodes[1])), MIDDLE, LATE)), "node 1"),
        (Genotype(Cells(Cell(EARLY.features, (EARLY.nodes[0], Node("add", (1, 1)))), MIDDLE, LATE)), "node 2"),
    ],
)
def test_an_architecture_of_another_space_is_refused_with_the_place_and_the_reason(genotype, told):
    with pytest.raises(GenotypeError, match=told) as caught:
        Space().check(genotype, "found.json")
    assert str(caught.value).startswith("found.json: ")


def test_a_space_without_choices_is_refused():
    with pytest.raises(ConfigError):
        Space(stages=())
    with pytest.raises(ConfigError, match=r"search\.nodes"):
        Space(nodes=0)
