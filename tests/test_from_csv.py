"""A graph from two CSV files; what is wrong with them is told with file and line."""

import csv

import pytest
import torch
from helpers import not_none, pairs
from hypothesis import given
from hypothesis import strategies as st

from gatutils.tables import from_csv

NODES = "name,age,height,team\nAnn,30,1.7,red\nBo,41,1.8,\nÉva,22,1.6,blue\n"
EDGES = "source,target,note\nAnn,Bo,x\nÉva,Ann,\n"


@pytest.fixture
def files(tmp_path):
    """Write two texts into files."""

    def write(nodes=NODES, edges=EDGES):
        paths = tmp_path / "nodes.csv", tmp_path / "edges.csv"
        for path, text in zip(paths, (nodes, edges), strict=True):
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return paths

    return write


def test_names_features_labels_and_edges(files):
    found = from_csv(*files(), label="team")
    assert found.number == {"Ann": 0, "Bo": 1, "Éva": 2}
    assert found.features == ("age", "height")
    assert found.classes == ("blue", "red")
    graph = found.graph
    torch.testing.assert_close(graph.features, torch.tensor([[30, 1.7], [41, 1.8], [22, 1.6]]))
    assert not_none(graph.labels).tolist() == [1, -1, 0]
    assert pairs(graph) == [(2, 0), (0, 1)]
    assert graph.edge_order.tolist() == [1, 0]


def test_chosen_columns_and_both_directions(files):
    nodes, edges = files(edges="to;\n".replace(";", ",from") + "Bo,Ann\n")
    found = from_csv(nodes, edges, features=["height"], source="from", target="to", undirected=True)
    assert not_none(found.graph.features)[:, 0].tolist() == pytest.approx([1.7, 1.8, 1.6])
    assert found.graph.labels is None
    assert found.classes == ()
    assert pairs(found.graph) == [(1, 0), (0, 1)]


def test_what_spreadsheets_write_is_read(files):
    """A byte order mark, line ends of Windows, quotes, spaces and empty lines."""
    nodes = b'\xef\xbb\xbfname, x\r\n"Smith, Ann", 1e3\r\n\r\nBo,-2\r\n'
    found = from_csv(*files(nodes, 'source,target\n"Smith, Ann",Bo\n'))
    assert found.number == {"Smith, Ann": 0, "Bo": 1}
    assert not_none(found.graph.features).tolist() == [[1000], [-2]]
    assert pairs(found.graph) == [(0, 1)]


def test_no_rows_and_no_features(files):
    empty = from_csv(*files("name\n", "source,target\n"), label=None).graph
    assert (empty.num_nodes, empty.num_edges, empty.features) == (0, 0, None)
    assert from_csv(*files("name\nAnn\n", "source,target\nAnn,Ann\n")).graph.features is None


some_rows = st.lists(st.tuples(st.text("ab,\"'\n é", min_size=1), st.floats(-9, 9)), max_size=5)


@given(some_rows, st.data())
def test_what_was_written_is_read(tmp_path_factory, rows, data):
    rows = [(word.strip(), x) for word, x in dict(rows).items() if word.strip()]
    rows = list(dict(rows).items())
    folder = tmp_path_factory.mktemp("csv")
    words = [word for word, _ in rows]
    ends = st.lists(st.tuples(*2 * [st.sampled_from(words)]), max_size=4) if words else st.just([])
    edges = data.draw(ends)
    for name, header, lines in (("n", ["name", "x"], rows), ("e", ["source", "target"], edges)):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *lines])
    found = from_csv(folder / "n", folder / "e")
    assert list(found.number) == words
    if rows:
        torch.testing.assert_close(
            not_none(found.graph.features)[:, 0], torch.tensor([x for _, x in rows])
        )
    assert sorted(pairs(found.graph)) == sorted((words.index(j), words.index(i)) for j, i in edges)


@pytest.mark.parametrize(
    ("nodes", "edges", "words"),
    [
        ("", EDGES, r"nodes.csv, line 1: expected a column 'name', got an empty line"),
        (NODES.replace("team", "club"), EDGES, r"nodes.csv, line 1: expected a column 'team'"),
        (NODES.replace("height", "age"), EDGES, r"nodes.csv, line 1: expected columns of differ"),
        (NODES.replace("41", "old"), EDGES, r"nodes.csv, line 3: .*number as 'age', got 'old'"),
        (NODES.replace("41", "nan"), EDGES, r"nodes.csv, line 3: expected a finite number as"),
        (NODES.replace("41", ""), EDGES, r"nodes.csv, line 3: expected a finite number as 'age'"),
        (NODES.replace("41,", ""), EDGES, r"nodes.csv, line 3: expected 4 cells, got 3"),
        (NODES.replace("Éva", "Ann"), EDGES, r"nodes.csv, line 4: .*new, got 'Ann', as in line 2"),
        (NODES.replace("Éva", " "), EDGES, r"nodes.csv, line 4: expected a name in the column"),
        (NODES.replace("Bo", '"Bo'), EDGES, r"nodes.csv, line 4: expected CSV, got unexpected end"),
        (NODES.encode("latin-1"), EDGES, r"nodes.csv, after line \d: expected UTF-8, got invalid"),
        (NODES, EDGES.replace("Éva", "Eva"), r"edges.csv, line 3: .*node as 'source', got 'Eva'"),
        (NODES, EDGES.replace("Bo", ""), r"edges.csv, line 2: .*node as 'target', got ''"),
        (NODES, EDGES.replace(",note", ""), r"edges.csv, line 2: expected 2 cells, got 3"),
        (NODES, EDGES.replace("target", "to"), r"edges.csv, line 1: expected a column 'target'"),
    ],
)
def test_errors_name_file_and_line(files, nodes, edges, words):
    with pytest.raises(ValueError, match=words):
        from_csv(*files(nodes, edges), label="team")


def test_a_file_that_is_missing_and_features_that_are_no_list(files, tmp_path):
    with pytest.raises(FileNotFoundError, match="none"):
        from_csv(tmp_path / "none", tmp_path / "none")
    with pytest.raises(TypeError, match="features: expected a sequence of str"):
        from_csv(*files(), features="age")
