import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers import language
from trainers.handover.charts import HEIGHT, WIDTH, Series, svg, tick_text, value_ticks
from trainers.handover.plots import loss_png
from trainers.handover.report import write_report
from trainers.run_folder import metrics
from trainers.run_folder.record import RunRecord

LANGUAGES = Path(__file__).parents[3] / "advisor/languages"


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    for step in range(1, 21):
        metrics.append_metrics(
            tmp_path, {"step": step, "loss": 3 / step, "learning_rate": 1e-4, "memory_bytes": 2**30}
        )
    metrics.append_metrics(tmp_path, {"step": 20, "eval_loss": 0.5})
    metrics.append_metrics(tmp_path, {"step": 21, "loss": float("nan")})
    record = RunRecord(tmp_path)
    record.update(method="lora", model="<b>evil</b>", eval_loss_before=2.0, eval_loss_after=0.5)
    record.update(losses={"first": 3.0, "last": 0.15})
    sample = {"prompt": "Who?", "base": "<script>alert(1)</script>", "tuned": "Me."}
    (tmp_path / "samples.json").write_text(json.dumps({"samples": [sample]}))
    return tmp_path


def test_what_the_folder_says_stands_in_the_report_of_every_language(run_dir: Path) -> None:
    RunRecord(run_dir).update(seed=4711, delivered={"step": 20, "reason": "the lowest loss of all"})
    try:
        for catalogue in (None, *LANGUAGES.rglob("*.mo")):
            language.use(catalogue)
            page = write_report(run_dir).read_text()
            assert "4711" in page and "the lowest loss of all" in page
            assert "LoRA" in page.partition("</h1>")[0]
    finally:
        language.use(None)


def test_curves_leave_out_what_is_not_finite(run_dir: Path) -> None:
    curve = metrics.points(metrics.read_metrics(run_dir), "loss")
    assert len(curve) == 20
    assert curve[0] == (1.0, 3.0)


def test_a_drawing_stays_inside_its_frame_and_a_flat_curve_is_drawn_flat() -> None:
    for curve in ([(1.0, 5.0), (2.0, 1.0), (9.0, 3.0)], [(1.0, 1e-4), (2.0, 1e-4)], [(1.0, 0.0), (2.0, 0.0)]):
        root = ElementTree.fromstring(svg([Series(name="a", points=curve)], "a"))
        line = root.find("polyline")
        assert line is not None
        for pair in line.attrib["points"].split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= WIDTH
            assert 0 <= y <= HEIGHT
    heights = re.findall(r"[\d.]+,([\d.]+)", svg([Series(name="a", points=[(1, 10.7000), (2, 10.7003)])], "a"))
    assert abs(float(heights[0]) - float(heights[1])) < 2


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_enclose_their_values_and_are_told_apart(low: float, span: float) -> None:
    found = value_ticks([[(1, low), (2, low + span)]])
    texts = [tick_text(tick, found[1] - found[0]) for tick in found]
    assert found[0] <= low + 1e-6 * (abs(low) + span)
    assert found[-1] >= low + span - 1e-6 * (abs(low) + span)
    assert 2 <= len(found) <= 8
    assert len(set(texts)) == len(texts)


def test_the_report_is_one_file_that_escapes_what_models_say(run_dir: Path) -> None:
    page = write_report(run_dir).read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "<b>evil" not in page
    assert "from 2.0000 to 0.5000" in page
    assert page.count("<svg") == 3
    assert page.count("<polyline") == 4
    assert "src=" not in page
    assert "href=" not in page


def test_the_loss_is_drawn_as_png(run_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    drawn = loss_png(run_dir)
    assert drawn is not None
    assert drawn.read_bytes().startswith(b"\x89PNG")
    assert loss_png(tmp_path_factory.mktemp("empty")) is None


def test_a_run_without_numbers_still_has_a_report(tmp_path: Path) -> None:
    assert "<svg" not in write_report(tmp_path).read_text()
