import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cluster.described import read_cluster
from cluster.place import main
from envs.errors import OptionError

NODES = [{"board": "orin_nx_16", "mode": "25W", "count": 2, "name": "gate"}]
WANTED = [{"network": "resnet50", "rate_ips": 30, "p99_ms": 100, "count": 3, "name": "camera"}]


def file_of(folder: Path, nodes: object = NODES, applications: object = WANTED) -> Path:
    path = folder / "yard.json"
    path.write_text(json.dumps({"nodes": nodes, "applications": applications}))
    return path


def test_a_file_is_read(tmp_path: Path) -> None:
    found = read_cluster(file_of(tmp_path), "fp16")
    assert [each.name for each in found.nodes] == ["gate-0", "gate-1"]
    assert found.nodes[0].kind.engines.keys() == {"resnet50"}
    first = found.applications[0]
    assert (first.name, first.rate_ips, first.limit_s, first.replicas) == ("camera-0", 30, 0.1, 1)


def test_yaml_says_the_same(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    path = tmp_path / "yard.yaml"
    path.write_text(
        "nodes:\n  - {board: orin_nx_16, mode: 25W, count: 2, name: gate}\n"
        "applications:\n  - {network: resnet50, rate_ips: 30, p99_ms: 100, count: 3, name: camera}"
    )
    assert read_cluster(path, "fp16") == read_cluster(file_of(tmp_path), "fp16")


@pytest.mark.parametrize(
    ("nodes", "applications", "sentence"),
    [
        ([], WANTED, "nodes must be a list with one entry"),
        (["gate"], WANTED, "entry 1 of nodes must have keys such as board, mode"),
        ([{"mode": "25W"}], WANTED, "entry 1 of nodes lacks board"),
        ([{"board": "orin_nx"}], WANTED, "there is no board 'orin_nx': did you mean orin_nx_"),
        ([{"board": "orin_nx_16", "mode": "9W"}], WANTED, "has no power mode '9W'"),
        ([{"board": "orin_nx_16", "nodes": 2}], WANTED, "entry 1 of nodes has the key 'nodes'"),
        (NODES, [{**WANTED[0], "network": "resnet5"}], "'resnet5': did you mean resnet50"),
        (NODES, [{**WANTED[0], "rate_ips": "fast"}], "rate_ips='fast' must be a number"),
        (NODES, [{**WANTED[0], "count": 1.5}], "count=1.5 must be a whole number"),
        (NODES, [*WANTED, *WANTED], "two applications have the name camera-0"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    tmp_path: Path, nodes: object, applications: object, sentence: str
) -> None:
    with pytest.raises(OptionError, match=sentence):
        read_cluster(file_of(tmp_path, nodes, applications), "fp16")


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot read"):
        read_cluster(tmp_path / "none.json", "fp16")
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    with pytest.raises(OptionError, match="is not JSON"):
        read_cluster(bad, "fp16")
    bad.write_text("[]")
    with pytest.raises(OptionError, match="must have the two lists nodes and applications"):
        read_cluster(bad, "fp16")


HEAD = "applications:\n- {network: resnet50, rate_ips: 30, p99_ms: 100%s}\n"
NODE = "nodes:\n- {board: agx_orin_64%s}\n"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("deep.json", "[" * 100_000, "nested too deeply"),
        ("deep.yaml", "[" * 10_000, "nested too deeply"),
        ("a.yaml", NODE % "" + NODE % "" + HEAD % "", "key 'nodes' is there twice"),
        ("a.json", '{"nodes": [], "nodes": [], "applications": []}', "key 'nodes' is there twice"),
        ("a.yaml", NODE % ", count: 1000000000000" + HEAD % "", "1,000,000 or less"),
        ("a.yaml", NODE % "" + HEAD % ", replicas: 0", "entry 1 of applications: replicas=0"),
        ("a.yaml", NODE % "" + HEAD % ', name: "\\e[31m"', "printable"),
        ("a.yaml", NODE % ", name: [1]" + HEAD % "", "name must be a name, and is list"),
        ("a.yaml", "nodes: !!python/object/apply:os.system [exit]", "is not YAML"),
    ],
)
def test_a_hostile_file_is_one_sentence(
    tmp_path: Path, name: str, text: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert main(["--cluster", str(path)]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert name in error
    assert error.count("\n") == 1


def test_what_is_null_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(NODE % ", name: null, mode: null, count: null" + HEAD % ", name: null")
    found = read_cluster(path, "fp16")
    assert [each.name for each in found.nodes] == ["agx_orin_64"]
    assert [each.name for each in found.applications] == ["resnet50"]


class Page(HTMLParser):
    """Counts elements, and collects what would be fetched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.count: dict[str, int] = {}
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_command_places_and_writes_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "yard.html"
    options = ["--cluster", str(file_of(tmp_path)), "--report", str(report), "--requests", "200"]
    assert main(options) == 0
    said = capsys.readouterr().out
    assert "camera-2" in said
    assert "3 of 3 applications on" in said
    assert "simulated" in said
    page = Page(report.read_text())
    assert not page.fetched
    assert "script" not in page.count


def test_who_is_late_or_finds_no_room_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crowd = [{**WANTED[0], "count": 40, "rate_ips": 60, "name": "<b>"}]
    path, report = file_of(tmp_path, NODES[:1], crowd), tmp_path / "yard.html"
    options = ["--cluster", str(path), "--requests", "50", "--report", str(report)]
    assert main([*options, "--policy", "as_they_come"]) == 3
    assert "no room: <b>-" in capsys.readouterr().out
    assert main([*options, "--policy", "first_fit"]) == 3
    assert "are late" in capsys.readouterr().out
    text = report.read_text()
    assert "&lt;b&gt;-0" in text
    assert "<b>-0" not in text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "--cluster is missing"),
        (["--cluster", "x.yaml", "--policy", "luck"], "--policy luck: choose from together"),
        (["--cluster", "x.yaml", "--goal", "fast"], "--goal fast: choose from hosted, power"),
        (["--cluster", "x.yaml", "--reserve", "1"], "--reserve 1.0 must lie in 0..1"),
        (["--cluster", "x.yaml", "--requests", "-1"], "--requests -1 must be 0 or more"),
    ],
)
def test_a_wrong_option_is_one_line(
    options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
